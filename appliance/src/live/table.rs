//! Services with their real servers, as a file or the director has them.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use lb_core::destination::Destination;
use lb_core::ipvsadm::{self, Command, Names};
use lb_core::operations::Operations;
use lb_core::service::{Service, ServiceKey};

use super::merge::{Merged, Three, Winner};
use super::report::{Item, Items};

/// What names a real server in its service.
type End = (IpAddr, u16);

/// A service with its real servers, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    service: Service,
    servers: Vec<Destination>,
}

/// All services, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
    places: HashMap<ServiceKey, usize>,
}

impl Entry {
    fn server(&self, end: End) -> Option<&Destination> {
        self.servers.iter().find(|server| end_of(server) == end)
    }

    /// The same service with the same real servers, in whatever order.
    fn equals(&self, other: &Self) -> bool {
        self.service == other.service
            && self.servers.len() == other.servers.len()
            && self.servers.iter().all(|server| other.server(end_of(server)) == Some(server))
    }

    /// The commands that make it.
    fn lines(&self) -> Vec<String> {
        let servers = self.servers.iter().map(|server| server_line(&self.service.key, server));
        std::iter::once(service_line(&self.service)).chain(servers).collect()
    }
}

impl Table {
    fn new(entries: Vec<Entry>) -> Self {
        let places = entries.iter().map(|entry| entry.service.key).zip(0..).collect();
        Self { entries, places }
    }

    /// The services that these lines make, which were checked.
    pub(super) fn of_lines(lines: &[String], names: &dyn Names) -> Self {
        let mut table = Self::default();
        for line in lines {
            match ipvsadm::parse(&ipvsadm::restore_words(line), names) {
                Ok(Command::AddService(service)) => {
                    table.places.insert(service.key, table.entries.len());
                    table.entries.push(Entry { service, servers: Vec::new() });
                }
                Ok(Command::AddDestination { service, destination }) => {
                    if let Some(place) = table.places.get(&service) {
                        table.entries[*place].servers.push(destination);
                    }
                }
                _ => {}
            }
        }
        table
    }

    /// The services of a director.
    pub(super) fn of_director(director: &impl Operations) -> Self {
        let rows = director.services().into_iter();
        let entry = |row: lb_core::operations::ServiceRow| Entry {
            service: row.service,
            servers: row.destinations.iter().rev().map(|row| row.destination).collect(),
        };
        Self::new(rows.map(entry).collect())
    }

    fn entry(&self, key: &ServiceKey) -> Option<&Entry> {
        self.entries.get(*self.places.get(key)?)
    }
}

/// What the director should have, and why it does not have it yet.
#[derive(Debug, Default)]
pub(super) struct MergedTable {
    /// Makes the director have it, in this order.
    pub(super) commands: Vec<Command>,
    pub(super) items: Items,
}

/// Merges what was loaded, is running and is in the file; `winner` decides conflicts.
pub(super) fn merge(
    loaded: &Table,
    running: &Table,
    file: &Table,
    winner: Option<Winner>,
) -> MergedTable {
    let mut merged = MergedTable::default();
    let mut seen = HashSet::new();
    let mut wanted = Vec::new();
    // The file's order first: new services are added in it.
    let keys = [file, running, loaded].into_iter().flat_map(|table| &table.entries);
    for key in keys.map(|entry| entry.service.key).filter(|key| seen.insert(*key)) {
        let three = Three {
            loaded: loaded.entry(&key),
            running: running.entry(&key),
            file: file.entry(&key),
        };
        let target = merge_service(three, winner, &mut merged.items);
        wanted.push((three.running, target));
    }
    merged.commands = commands(&wanted);
    merged
}

/// What becomes of a service. Where one side removed it and the other changed anything in it, the
/// two are in conflict about the whole of it.
fn merge_service(
    three: Three<'_, Entry>,
    winner: Option<Winner>,
    items: &mut Items,
) -> Option<Entry> {
    let Three { loaded, running, file } = three;
    let changed = |entry: Option<&Entry>| match (entry, loaded) {
        (Some(entry), Some(loaded)) => !entry.equals(loaded),
        _ => true,
    };
    match (loaded, running, file) {
        (_, None, None) => None,
        // Removed from the file, or added by command.
        (Some(_), Some(_), None) if changed(running) => whole_conflict(three, winner, items),
        (Some(_), Some(entry), None) => {
            items.from_file.extend(entry.lines().into_iter().map(Item::removed));
            None
        }
        (None, Some(entry), None) => {
            items.commanded.extend(entry.lines().into_iter().map(Item::removed));
            Some(entry.clone())
        }
        // Removed by command, or added to the file.
        (Some(_), None, Some(_)) if changed(file) => whole_conflict(three, winner, items),
        (Some(_), None, Some(entry)) => {
            items.commanded.extend(entry.lines().into_iter().map(Item::added));
            None
        }
        (None, None, Some(entry)) => {
            items.from_file.extend(entry.lines().into_iter().map(Item::added));
            Some(entry.clone())
        }
        (_, Some(running), Some(file)) => Some(merge_both(loaded, running, file, winner, items)),
    }
}

fn whole_conflict(
    three: Three<'_, Entry>,
    winner: Option<Winner>,
    items: &mut Items,
) -> Option<Entry> {
    let lines = |entry: Option<&Entry>| entry.map_or_else(Vec::new, Entry::lines);
    let (running, file) = (lines(three.running), lines(three.file));
    items.conflicts.extend(running.into_iter().map(Item::removed));
    items.conflicts.extend(file.into_iter().map(Item::added));
    let target = if winner == Some(Winner::File) { three.file } else { three.running };
    target.cloned()
}

/// A service that is running and in the file: its settings and each of its servers by itself.
fn merge_both(
    loaded: Option<&Entry>,
    running: &Entry,
    file: &Entry,
    winner: Option<Winner>,
    items: &mut Items,
) -> Entry {
    let key = running.service.key;
    let settings = Three {
        loaded: loaded.map(|entry| &entry.service),
        running: Some(&running.service),
        file: Some(&file.service),
    };
    let service = items.decide(settings, winner, service_line);
    let mut seen = HashSet::new();
    let ends = [Some(running), Some(file)].into_iter().flatten().flat_map(|entry| &entry.servers);
    // Looked up by hash: a service may have ten thousand servers.
    let [in_loaded, in_running, in_file] =
        [loaded, Some(running), Some(file)].map(|entry| by_end(entry));
    let servers = ends.map(end_of).filter(|end| seen.insert(*end)).filter_map(|end| {
        let three = Three {
            loaded: in_loaded.get(&end).copied(),
            running: in_running.get(&end).copied(),
            file: in_file.get(&end).copied(),
        };
        items.decide(three, winner, |server| server_line(&key, server)).copied()
    });
    let servers = servers.collect();
    Entry { service: service.unwrap_or(&running.service).clone(), servers }
}

fn by_end(entry: Option<&Entry>) -> HashMap<End, &Destination> {
    let servers = entry.into_iter().flat_map(|entry| &entry.servers);
    servers.map(|server| (end_of(server), server)).collect()
}

impl Items {
    /// Decides about one thing, and notes what is not the same. Returns what the director should
    /// have; where a conflict is open, what it has.
    pub(super) fn decide<'a, T: PartialEq>(
        &mut self,
        three: Three<'a, T>,
        winner: Option<Winner>,
        line: impl Fn(&T) -> String,
    ) -> Option<&'a T> {
        let item = || Item { running: three.running.map(&line), file: three.file.map(&line) };
        match three.merged() {
            Merged::Same => three.running,
            Merged::Commanded => {
                self.commanded.push(item());
                three.running
            }
            Merged::FromFile => {
                self.from_file.push(item());
                three.file
            }
            Merged::Conflict => {
                self.conflicts.push(item());
                if winner == Some(Winner::File) { three.file } else { three.running }
            }
        }
    }
}

/// The commands that lead from what is running to what is wanted: first what frees room.
fn commands(wanted: &[(Option<&Entry>, Option<Entry>)]) -> Vec<Command> {
    let (mut removals, mut edits, mut additions) = (Vec::new(), Vec::new(), Vec::new());
    for (running, wanted) in wanted {
        match (running, wanted) {
            (None, None) => {}
            (Some(running), None) => removals.push(Command::DeleteService(running.service.key)),
            (None, Some(wanted)) => {
                additions.push(Command::AddService(wanted.service.clone()));
                additions.extend(wanted.servers.iter().map(|server| add(wanted, server)));
            }
            (Some(running), Some(wanted)) => {
                let key = wanted.service.key;
                if running.service != wanted.service {
                    edits.push(Command::EditService(wanted.service.clone()));
                }
                let (before, after) = (by_end(Some(running)), by_end(Some(wanted)));
                let gone = running.servers.iter().filter(|it| !after.contains_key(&end_of(it)));
                removals.extend(gone.map(|server| Command::DeleteDestination {
                    service: key,
                    address: server.address,
                    port: server.port,
                }));
                for server in &wanted.servers {
                    match before.get(&end_of(server)) {
                        None => additions.push(add(wanted, server)),
                        Some(before) if **before == *server => {}
                        Some(_) => edits
                            .push(Command::EditDestination { service: key, destination: *server }),
                    }
                }
            }
        }
    }
    [removals, edits, additions].concat()
}

fn add(entry: &Entry, server: &Destination) -> Command {
    Command::AddDestination { service: entry.service.key, destination: *server }
}

const fn end_of(server: &Destination) -> End {
    (server.address, server.port)
}

fn service_line(service: &Service) -> String {
    line(&Command::AddService(service.clone()))
}

fn server_line(service: &ServiceKey, server: &Destination) -> String {
    line(&Command::AddDestination { service: *service, destination: *server })
}

/// The command as it is typed. All that change something can be.
fn line(command: &Command) -> String {
    ipvsadm::line(command).unwrap_or_default()
}
