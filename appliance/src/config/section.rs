//! A mapping of the file, read by the list of keys.

use std::time::Duration;

use lb_core::settings::Values;

use super::error::{ConfigErrors, Position, shown};
use super::keys::{Fallback, Key, Kind, SETTINGS, keys};
use super::raw::{At, Raw};
use super::suggestion::nearest;
use super::values;
use super::yaml::{Content, Node};

/// A mapping that was or was not in the file; each key of it in the one list of keys.
pub(super) struct Section<'a> {
    /// The path with the indices of list items, for messages: `ports[1]`.
    path: String,
    /// Where the mapping begins, or what it is absent from.
    position: Position,
    values: Vec<(&'static str, &'a Node)>,
    /// Whether every key of the mapping was known: what seems absent is not a mistyped key.
    whole: bool,
}

impl<'a> Section<'a> {
    /// The mapping of the whole file. `None`: reported as wrong.
    pub(super) fn root(node: &'a Node, errors: &mut ConfigErrors) -> Option<Self> {
        Self::new(String::new(), "", node, errors)
    }

    /// The section `key` of this one; one without keys where it is absent.
    pub(super) fn section(&self, key: &'static Key, errors: &mut ConfigErrors) -> Option<Self> {
        let path = self.path_of(key);
        match self.find(key) {
            Some(node) => Self::new(path, key.path, node, errors),
            None => Some(Self { path, position: self.position, values: Vec::new(), whole: true }),
        }
    }

    /// The items of the list `key`, each a section. Items that are no mappings are reported.
    pub(super) fn sections(&self, key: &'static Key, errors: &mut ConfigErrors) -> Vec<Self> {
        // Keys of the items have paths like `ports[].name`.
        let pattern = keys()
            .map(|other| other.section())
            .find(|section| section.strip_suffix("[]").is_some_and(|list| list == key.path));
        let pattern = pattern.unwrap_or(key.path);
        self.items(key, errors)
            .iter()
            .enumerate()
            .filter_map(|(index, node)| {
                let path = format!("{}[{index}]", self.path_of(key));
                if matches!(node.content, Content::Null) {
                    errors.at(node.position, format!("{path}: is empty; remove it or fill it in"));
                    return None;
                }
                Self::new(path, pattern, node, errors)
            })
            .collect()
    }

    /// The items of a list of plain values; those that are wrong are reported and left out.
    pub(super) fn list<T>(
        &self,
        key: &'static Key,
        errors: &mut ConfigErrors,
        read: impl Fn(&Content) -> Result<T, String>,
    ) -> Vec<At<T>> {
        let path = self.path_of(key);
        self.items(key, errors)
            .iter()
            .enumerate()
            .filter_map(|(index, node)| read_node(&format!("{path}[{index}]"), node, errors, &read))
            .collect()
    }

    /// A plain value, or its default where it is absent or null.
    pub(super) fn value<T>(
        &self,
        key: &'static Key,
        errors: &mut ConfigErrors,
        read: impl Fn(&Content) -> Result<T, String>,
    ) -> Raw<T> {
        let path = self.path_of(key);
        if let Some(node) = self.find(key) {
            return read_node(&path, node, errors, &read);
        }
        let Fallback::Value(default) = key.fallback else {
            self.missing(key, errors);
            return None;
        };
        let node = Node { position: self.position, content: Content::plain(default) };
        read_node(&path, &node, errors, &read)
    }

    /// A plain value that may be absent and has no default.
    pub(super) fn optional<T>(
        &self,
        key: &'static Key,
        errors: &mut ConfigErrors,
        read: impl Fn(&Content) -> Result<T, String>,
    ) -> Raw<Option<T>> {
        match self.find(key) {
            None => Some(At { position: self.position, value: None }),
            Some(node) => read_node(&self.path_of(key), node, errors, &read)
                .map(|At { position, value }| At { position, value: Some(value) }),
        }
    }

    /// A whole number in the range of its key.
    pub(super) fn count<T: TryFrom<u64>>(
        &self,
        key: &'static Key,
        errors: &mut ConfigErrors,
    ) -> Raw<T> {
        self.value(key, errors, |content| count(content, key.kind))
    }

    /// The value of a switch.
    pub(super) fn switch(&self, key: &'static Key, errors: &mut ConfigErrors) -> Raw<i64> {
        self.value(key, errors, |content| switch_value(content, key.kind))
    }

    /// A size in the range of its key, in bytes.
    pub(super) fn size(&self, key: &'static Key, errors: &mut ConfigErrors) -> Raw<u64> {
        self.value(key, errors, |content| {
            let bytes = values::size(with_unit(content, "256M")?)?;
            match key.kind {
                Kind::Size { min, max, step }
                    if bytes < min || bytes > max || bytes % step != 0 =>
                {
                    Err(format!(
                        "{} is out of range; write {} to {}, in steps of {}",
                        content.shown(),
                        values::show_size(min),
                        values::show_size(max),
                        values::show_size(step)
                    ))
                }
                _ => Ok(bytes),
            }
        })
    }

    /// A duration in the range of its key.
    pub(super) fn duration(&self, key: &'static Key, errors: &mut ConfigErrors) -> Raw<Duration> {
        self.value(key, errors, |content| {
            let duration = values::duration(with_unit(content, "100us")?)?;
            match key.kind {
                Kind::Duration { min, max } if duration < min || duration > max => Err(format!(
                    "{} is out of range; write {} to {}",
                    content.shown(),
                    values::show_duration(min),
                    values::show_duration(max)
                )),
                _ => Ok(duration),
            }
        })
    }

    /// One of the words of its key.
    pub(super) fn choice<T>(
        &self,
        key: &'static Key,
        errors: &mut ConfigErrors,
        from_name: impl Fn(&str) -> Option<T>,
    ) -> Raw<T> {
        self.value(key, errors, |content| {
            word(content).and_then(|name| from_name(&name).ok_or_else(String::new)).map_err(|_| {
                format!("{} is not a choice; write one of {}", content.shown(), key.kind.describe())
            })
        })
    }

    /// The value of a key; `None` where it is absent or null.
    pub(super) fn find(&self, key: &Key) -> Option<&'a Node> {
        let (_, node) = self.values.iter().find(|(name, _)| *name == key.name())?;
        (!matches!(node.content, Content::Null)).then_some(node)
    }

    /// Whether every item of a list was read: `read` of them, and no mistyped key in the section
    /// that could be this one.
    pub(super) fn has_whole(&self, key: &Key, read: usize) -> bool {
        let items = match self.find(key).map(|node| &node.content) {
            None => 0,
            Some(Content::Sequence(items)) => items.len(),
            Some(_) => return false,
        };
        self.whole && items == read
    }

    /// Whether every key of the mapping was known.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// The path of a key of it, for messages.
    pub(super) fn path_of(&self, key: &Key) -> String {
        join(&self.path, key.name())
    }

    fn new(
        path: String,
        pattern: &'static str,
        node: &'a Node,
        errors: &mut ConfigErrors,
    ) -> Option<Self> {
        let position = node.position;
        let entries = match &node.content {
            Content::Null => {
                return Some(Self { path, position, values: Vec::new(), whole: true });
            }
            Content::Mapping(entries) => entries,
            Content::Refused => return None,
            other => {
                let problem =
                    format!("{} stands where keys should; write `key: value`", other.shown());
                errors.at(position, labelled(&path, &problem));
                return None;
            }
        };
        let mut values = Vec::new();
        let mut whole = true;
        for entry in entries {
            let known = keys().find(|k| k.section() == pattern && k.name() == entry.key);
            match known {
                Some(key) => values.push((key.name(), &entry.value)),
                None => {
                    whole = false;
                    let problem = unknown(&entry.key, pattern);
                    errors.at(entry.position, labelled(&path, &problem));
                }
            }
        }
        Some(Self { path, position, values, whole })
    }

    /// The items of a list; none, and a report, where the value is not a list.
    fn items(&self, key: &'static Key, errors: &mut ConfigErrors) -> &'a [Node] {
        let Some(node) = self.find(key) else {
            if key.fallback == Fallback::Required {
                self.missing(key, errors);
            }
            return &[];
        };
        let way_out = match (&node.content, key.kind) {
            (Content::Sequence(items), _) => return items,
            (Content::Refused, _) => return &[],
            (Content::Text(..) | Content::Number(..), Kind::Listens) => {
                return std::slice::from_ref(node);
            }
            (_, Kind::Sections) => "begin each item with `- `".to_owned(),
            (Content::Text(text, _) | Content::Number(_, text), _) => {
                format!("write {}", shown(&format!("[{text}]")))
            }
            _ => "write `[first, second]`".to_owned(),
        };
        let problem = format!("{} is not a list; {way_out}", node.content.shown());
        errors.at(node.position, labelled(&self.path_of(key), &problem));
        &[]
    }

    fn missing(&self, key: &Key, errors: &mut ConfigErrors) {
        let named = self.values.iter().find(|(name, _)| *name == key.name());
        let (position, what) = match named {
            Some((_, node)) => (node.position, "has no value"),
            None => (self.position, "is missing"),
        };
        errors.at(position, format!("{}: {what}; it is required: {}", self.path_of(key), key.help));
    }
}

/// A whole number in the range of a kind. The range must fit into `T`.
pub(super) fn count<T: TryFrom<u64>>(content: &Content, kind: Kind) -> Result<T, String> {
    let (min, max) = match kind {
        Kind::Count { min, max } | Kind::AutoOrCount { min, max } => (min, max),
        _ => (0, u64::MAX),
    };
    let way_out = format!("write a number from {min} to {max}");
    let number = match content {
        Content::Number(number, _) if number.is_u64() || number.is_i64() => number,
        Content::Text(text, style) if is_quoted(*style) && text.parse::<u64>().is_ok() => {
            return Err(format!("{} in quotes is text; write the number without", shown(text)));
        }
        Content::Text(text, _) if values::size(text).is_ok() || values::duration(text).is_ok() => {
            return Err(format!("{} has a unit, but counts have none; {way_out}", shown(text)));
        }
        other => {
            return Err(format!("{} is not a whole number; {way_out}", other.shown()));
        }
    };
    number
        .as_u64()
        .filter(|number| (min..=max).contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("{number} is out of range; {way_out}"))
}

/// A whole number that the switch of a kind takes.
fn switch_value(content: &Content, kind: Kind) -> Result<i64, String> {
    let values = match kind {
        Kind::Switch(values) => values,
        _ => Values::OnOff,
    };
    let number = match content {
        Content::Number(number, _) if number.is_u64() || number.is_i64() => number,
        other => {
            return Err(format!("{} is not a whole number; {}", other.shown(), values.way_out()));
        }
    };
    number
        .as_i64()
        .filter(|&number| values.contain(number))
        .ok_or_else(|| format!("{number} is out of range; {}", values.way_out()))
}

/// Text of at least one character, without control characters.
pub(super) fn text(content: &Content) -> Result<String, String> {
    match content {
        Content::Text(text, _) if text.is_empty() => Err("is empty; write a text".to_owned()),
        Content::Text(text, _) if text.contains(char::is_control) => {
            Err(format!("{} has control characters; write plain text on one line", shown(text)))
        }
        Content::Text(text, _) => Ok(text.clone()),
        Content::Number(_, text) => {
            Err(format!("{} is a number, not text; write it in quotes: \"{text}\"", shown(text)))
        }
        Content::Bool(value) => {
            Err(format!("`{value}` is a truth value, not text; write it in quotes: \"{value}\""))
        }
        other => Err(format!("{} stands where text should", other.shown())),
    }
}

/// `true` or `false`.
pub(super) fn truth(content: &Content) -> Result<bool, String> {
    match content {
        Content::Bool(value) => Ok(*value),
        other => Err(format!("{} is no truth value; write `true` or `false`", other.shown())),
    }
}

/// A scalar as it was written: for values whose form says what they are.
pub(super) fn word(content: &Content) -> Result<String, String> {
    match content {
        Content::Text(text, _) | Content::Number(_, text) => Ok(text.clone()),
        Content::Bool(value) => Ok(value.to_string()),
        other => Err(format!("{} stands where one value should", other.shown())),
    }
}

fn with_unit<'a>(content: &'a Content, example: &str) -> Result<&'a str, String> {
    match content {
        Content::Text(text, _) => Ok(text),
        Content::Number(_, text) => {
            Err(format!("the number {} has no unit; write for example `{example}`", shown(text)))
        }
        other => Err(format!(
            "{} stands where a value should; write for example `{example}`",
            other.shown()
        )),
    }
}

fn is_quoted(style: saphyr_parser::ScalarStyle) -> bool {
    style != saphyr_parser::ScalarStyle::Plain
}

fn read_node<T>(
    path: &str,
    node: &Node,
    errors: &mut ConfigErrors,
    read: impl Fn(&Content) -> Result<T, String>,
) -> Raw<T> {
    if matches!(node.content, Content::Refused) {
        return None;
    }
    match read(&node.content) {
        Ok(value) => Some(At { position: node.position, value }),
        Err(problem) => {
            errors.at(node.position, labelled(path, &problem));
            None
        }
    }
}

fn unknown(name: &str, section: &str) -> String {
    if section == SETTINGS.path
        && let Some(refusal) = lb_core::settings::refusal(name)
    {
        return refusal;
    }
    let here = || keys().filter(|key| key.section() == section).map(|key| key.name());
    let way_out = if let Some(meant) = nearest(name, here()) {
        format!("did you mean `{meant}`?")
    } else if let Some(elsewhere) = keys().find(|key| key.name() == name) {
        match elsewhere.section() {
            "" => "it belongs to the top level".to_owned(),
            section => format!("it belongs to `{section}`"),
        }
    } else {
        format!("known here: `{}`", here().collect::<Vec<_>>().join("`, `"))
    };
    format!("unknown key {}; {way_out}", shown(name))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn labelled(path: &str, problem: &str) -> String {
    if path.is_empty() { problem.to_owned() } else { format!("{path}: {problem}") }
}
