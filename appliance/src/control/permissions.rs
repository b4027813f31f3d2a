//! Who may do what: the groups of the configuration, and whose processes are in them.
//!
//! Without a group of readers the mode of the sockets says all: whoever could open one may change
//! things. With one, anybody can open them, and is asked for the membership before the first word
//! is read: by the group that the process runs with, and by the system's user database.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use super::asker::Rights;
use crate::config::ControlConfig;

/// Of sockets that the owner and the group may open.
const MODE_OF_GROUP: u32 = 0o660;
/// Of sockets at which everybody is asked who it is.
const MODE_OF_ALL: u32 = 0o666;

/// A group of the configuration that is not there.
#[derive(Debug, thiserror::Error)]
#[error(
    "{key}: there is no group `{name}`; make it (groupadd --system {name}), name another, or take \
     the key out"
)]
pub struct NoSuchGroup {
    key: &'static str,
    name: String,
}

/// A group, by number and by the name that people know.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    gid: u32,
    name: String,
}

/// Who may do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    own_uid: u32,
    /// May change everything.
    changers: Named,
    /// May look.
    readers: Option<Named>,
}

impl Permissions {
    /// What the configuration says, with this system's groups; and what to tell the operator about
    /// it. Where there is no group of that name, the process's own has the sockets.
    ///
    /// # Errors
    ///
    /// When there is no group of readers: it is there only if somebody wants it.
    pub fn of(config: &ControlConfig) -> Result<(Self, Option<String>), NoSuchGroup> {
        let (changers, note) = match find(&config.group) {
            Some(group) => (group, None),
            None => {
                let own = own_group();
                let note = format!(
                    "control.group: there is no group `{}`, so the sockets belong to group `{}`",
                    config.group, own.name
                );
                (own, Some(note))
            }
        };
        let readers = config.read_group.as_ref().map(|name| {
            find(name).ok_or_else(|| NoSuchGroup { key: "control.read_group", name: name.clone() })
        });
        let own_uid = Uid::effective().as_raw();
        Ok((Self { own_uid, changers, readers: readers.transpose()? }, note))
    }

    /// The permissions of a director without a configuration: its own user and group.
    pub fn own() -> Self {
        Self { own_uid: Uid::effective().as_raw(), changers: own_group(), readers: None }
    }

    /// The group that the sockets are to belong to: number and name.
    pub fn group(&self) -> (u32, &str) {
        (self.changers.gid, &self.changers.name)
    }

    /// The mode of the sockets.
    pub const fn mode(&self) -> u32 {
        if self.readers.is_some() { MODE_OF_ALL } else { MODE_OF_GROUP }
    }

    /// Whether a user is above all shares and groups: root, and the one the director runs as.
    pub const fn is_privileged(&self, uid: u32) -> bool {
        uid == 0 || uid == self.own_uid
    }

    /// What a process that could open a socket may do. The user database may take its time.
    pub fn rights(&self, uid: u32, gid: u32) -> Rights {
        let Some(readers) = &self.readers else { return Rights::Change };
        if self.is_privileged(uid) || gid == self.changers.gid {
            return Rights::Change;
        }
        let groups = groups_of(uid);
        if groups.contains(&self.changers.gid) {
            Rights::Change
        } else if gid == readers.gid || groups.contains(&readers.gid) {
            Rights::Read
        } else {
            Rights::Nothing
        }
    }

    /// Who may do that, for those who may not.
    pub fn who_may(&self, wanted: Rights) -> String {
        let changers = &self.changers.name;
        match &self.readers {
            Some(readers) if wanted == Rights::Read => {
                format!("root and members of the groups `{changers}` and `{}` may", readers.name)
            }
            _ => format!("root and members of the group `{changers}` may"),
        }
    }
}

/// The name of a user. The user database may take its time.
pub fn user_name(uid: u32) -> Option<String> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
}

/// A group by its name, else by its number.
fn find(name: &str) -> Option<Named> {
    let by_name = Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
    let gid = by_name.or_else(|| name.parse().ok())?;
    Some(Named { gid, name: name.to_owned() })
}

fn own_group() -> Named {
    let gid = Gid::effective();
    let name = Group::from_gid(gid).ok().flatten().map(|group| group.name);
    Named { gid: gid.as_raw(), name: name.unwrap_or_else(|| gid.to_string()) }
}

/// The groups of a user. One that nobody knows is in none.
fn groups_of(uid: u32) -> Vec<u32> {
    let Some(user) = User::from_uid(Uid::from_raw(uid)).ok().flatten() else { return Vec::new() };
    let Ok(name) = CString::new(user.name) else { return Vec::new() };
    let groups = getgrouplist(&name, user.gid).unwrap_or_default();
    groups.into_iter().map(Gid::as_raw).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::AuditTarget;

    fn config(group: &str, read_group: Option<&str>) -> ControlConfig {
        ControlConfig {
            socket: PathBuf::new(),
            netlink_socket: PathBuf::new(),
            group: group.to_owned(),
            read_group: read_group.map(str::to_owned),
            audit: AuditTarget::Off,
        }
    }

    #[test]
    fn without_readers_the_sockets_mode_decides() {
        let (permissions, note) = Permissions::of(&config("4321", None)).unwrap();
        assert_eq!((permissions.mode(), permissions.group(), note), (0o660, (4321, "4321"), None));
        assert_eq!(permissions.rights(12345, 54321), Rights::Change);
    }

    #[test]
    fn with_readers_everybody_is_asked() {
        let (permissions, _) = Permissions::of(&config("4321", Some("4322"))).unwrap();
        assert_eq!(permissions.mode(), 0o666);
        assert_eq!(permissions.rights(0, 0), Rights::Change);
        assert_eq!(permissions.rights(Uid::effective().as_raw(), 99), Rights::Change);
        // Users that no database knows have the group that they run with.
        let stranger = 4_000_000_000;
        assert_eq!(permissions.rights(stranger, 4321), Rights::Change);
        assert_eq!(permissions.rights(stranger, 4322), Rights::Read);
        assert_eq!(permissions.rights(stranger, 0), Rights::Nothing);
        assert!(permissions.who_may(Rights::Read).contains("`4321` and `4322`"));
        assert!(!permissions.who_may(Rights::Change).contains("4322"));
    }

    #[test]
    fn members_are_those_of_the_user_database() {
        // The one user with a group that every Linux has.
        assert_eq!(user_name(0).as_deref(), Some("root"));
        assert!(groups_of(0).contains(&0));
        assert_eq!(groups_of(4_000_000_000), [0; 0]);
    }

    #[test]
    fn a_group_that_is_not_there_is_named() {
        let (permissions, note) = Permissions::of(&config("no-such-group", None)).unwrap();
        assert_eq!(permissions, Permissions::own());
        assert!(note.unwrap().contains("there is no group `no-such-group`"));
        let refused = Permissions::of(&config("0", Some("no-such-group"))).unwrap_err();
        assert!(refused.to_string().starts_with("control.read_group: there is no group `no-such"));
    }
}
