//! tcpdump's filters, compiled by libpcap: in `sluicectl`, so that the director reads no more than
//! programs.

/// A filter as the program that [`Program::read`](super::bpf::Program::read) reads.
///
/// # Errors
///
/// What libpcap says about it.
pub fn compiled(filter: &str) -> Result<String, String> {
    compile::program(filter).map(|program| compile::text(&program))
}

pub(super) mod compile {
    use pcap::{BpfProgram, Capture, Error, Linktype};

    pub(in super::super) fn program(filter: &str) -> Result<BpfProgram, String> {
        let refused = |error: Error| match error {
            Error::PcapError(text) => text,
            other => other.to_string(),
        };
        let ethernet = Capture::dead(Linktype::ETHERNET).map_err(refused)?;
        ethernet.compile(filter, true).map_err(refused)
    }

    pub(in super::super) fn text(program: &BpfProgram) -> String {
        let instructions = program.get_instructions();
        let words = instructions.iter().map(|it| format!(",{it}"));
        format!("{}{}", instructions.len(), words.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_becomes_a_program_or_an_explanation() {
        assert_eq!(compiled("").unwrap(), "1,6 0 0 65535");
        let program = compiled("tcp port 80").unwrap();
        assert!(program.split(',').skip(1).all(|it| it.split(' ').count() == 4), "{program}");
        let problem = compiled("tcp port").unwrap_err();
        assert!(problem.contains("syntax error"), "{problem}");
    }
}
