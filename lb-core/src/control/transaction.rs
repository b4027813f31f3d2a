//! Several commands as one.

use super::{Control, services};
use crate::ipvsadm::{Command, Reply, apply};
use crate::operations::OperationError;

/// The command of a batch that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Refused {
    /// Its place in the batch.
    pub index: usize,
    pub error: OperationError,
}

impl Control {
    /// Runs commands in their order, if there is room for all real servers that they add.
    ///
    /// # Errors
    ///
    /// The first command that there is no room for; nothing was changed then. Or the first that
    /// is refused for another reason; those before it stay.
    pub fn apply_all(&mut self, commands: &[Command]) -> Result<(), Refused> {
        self.check_room(commands)?;
        for (index, command) in commands.iter().enumerate() {
            if let Reply::Refused(error) = apply(command, self) {
                return Err(Refused { index, error });
            }
        }
        Ok(())
    }

    /// Real servers that were removed lately take their old places.
    fn check_room(&self, commands: &[Command]) -> Result<(), Refused> {
        let mut room = self.trash.room(&self.director);
        for (index, command) in commands.iter().enumerate() {
            let Command::AddDestination { service, destination } = command else { continue };
            if self.trash.has(service, destination.address, destination.port) {
                continue;
            }
            room = room
                .checked_sub(1)
                .ok_or_else(|| Refused { index, error: services::no_room(&self.director) })?;
        }
        Ok(())
    }
}
