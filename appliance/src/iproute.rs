//! What the host's `ip` (iproute2) does for us: interfaces of the kernel are the kernel's.

use std::io::{self, Write};
use std::process::{Command, Stdio};

/// Why the kernel's interfaces are not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum IpError {
    #[error("`ip` of iproute2 is needed, but cannot be run: {0}")]
    NotRun(io::Error),
    #[error("`ip {command}` failed: {message}")]
    Refused { command: String, message: String },
}

/// Runs commands of iproute2, all by one process, up to the first that fails.
///
/// # Errors
///
/// That command with its reason, or that `ip` is not there.
pub fn ip(commands: &[String]) -> Result<(), IpError> {
    if commands.is_empty() {
        return Ok(());
    }
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(IpError::NotRun)?;
    if let Some(mut input) = child.stdin.take() {
        // One that ends early says why by itself.
        let _ = input.write_all((commands.join("\n") + "\n").as_bytes());
    }
    let output = child.wait_with_output().map_err(IpError::NotRun)?;
    if output.status.success() {
        return Ok(());
    }
    Err(refusal(commands, &String::from_utf8_lossy(&output.stderr)))
}

/// What `ip -batch` says of the first command that failed: its reason, then `Command failed -:N`.
fn refusal(commands: &[String], said: &str) -> IpError {
    let number = said.lines().find_map(|line| line.strip_prefix("Command failed -:"));
    let number = number.and_then(|number| number.trim().parse::<usize>().ok());
    let command = number.and_then(|number| commands.get(number.checked_sub(1)?));
    let reasons = said.lines().filter(|line| !line.starts_with("Command failed"));
    let message = reasons.map(str::trim).collect::<Vec<_>>().join("; ");
    let command = command.cloned().unwrap_or_else(|| "-batch -".to_owned());
    IpError::Refused { command, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_command_and_the_reason() {
        let commands = ["address add 10.0.0.1/24 dev a".to_owned(), "address add x".to_owned()];
        let said = "RTNETLINK answers: Permission denied\nCommand failed -:2\n";
        assert_eq!(
            refusal(&commands, said).to_string(),
            "`ip address add x` failed: RTNETLINK answers: Permission denied"
        );
        let error = refusal(&commands, "Option \"-batch\" is unknown").to_string();
        assert!(error.contains("`ip -batch -` failed: Option"), "{error}");
    }
}
