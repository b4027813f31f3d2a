//! YAML text as a tree in which every node knows its place.
//!
//! Refused, each with its place: a second document, anchors, aliases and tags (a configuration
//! says what it means where it means it; without aliases there is nothing to expand), keys that
//! are not plain text, the same key twice in one mapping, deep nesting, and too many nodes.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::error::{ConfigErrors, Position, shown};

/// Levels of nesting that are read; the deepest key of the configuration needs five.
const DEPTH_MAX: usize = 16;

/// Nodes that are read, so that a hostile file cannot take much more memory than its size.
const NODES_MAX: usize = 1 << 20;

/// A value and where it starts.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) position: Position,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Null,
    Bool(bool),
    /// A number and how it was written.
    Number(serde_yaml::Number, String),
    Text(String, ScalarStyle),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
    /// Something whose mistake is reported already.
    Refused,
}

/// A key of a mapping with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) position: Position,
    pub(super) value: Node,
}

impl Content {
    /// An unquoted scalar, by the rules of `serde_yaml`.
    pub(super) fn plain(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            "true" | "True" | "TRUE" => Self::Bool(true),
            "false" | "False" | "FALSE" => Self::Bool(false),
            _ => text.parse().map_or_else(
                |_| Self::Text(text.to_owned(), ScalarStyle::Plain),
                |number| Self::Number(number, text.to_owned()),
            ),
        }
    }

    /// The value for messages: what it is and what was written.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Null | Self::Refused => "nothing".to_owned(),
            Self::Bool(value) => format!("`{value}`"),
            Self::Number(_, text) => format!("the number {}", shown(text)),
            Self::Text(text, _) => shown(text),
            Self::Sequence(_) => "a list".to_owned(),
            Self::Mapping(_) => "a mapping (`key: value`)".to_owned(),
        }
    }
}

/// Reads the one document of `text`. `None` where it is not YAML that can be read to its end;
/// then `errors` says why. An empty document is a mapping without keys.
pub(super) fn read(text: &str, errors: &mut ConfigErrors) -> Option<Node> {
    // Editors that write a byte order mark mean nothing by it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder { open: Vec::new(), root: None, nodes: 0, errors };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => builder.take(event, span)?,
            Err(error) => {
                let (position, message) = not_yaml(text, &error);
                errors.at(position, message);
                return None;
            }
        }
    }
    let root = builder.root;
    Some(root.unwrap_or(Node { position: Position::START, content: Content::Null }))
}

fn place(span: Span) -> Position {
    Position::new(span.start.line(), span.start.col() + 1)
}

fn not_yaml(text: &str, error: &ScanError) -> (Position, String) {
    let line = error.marker().line();
    // saphyr-parser resolves aliases by itself before it hands them out.
    if error.info().contains("unknown anchor") {
        return (Position::new(line, error.marker().col() + 1), NO_ALIASES.to_owned());
    }
    // The scanner reads ahead, so it may meet its own limit before the builder meets ours.
    if error.info().contains("recursion limit") {
        return (Position::new(line, error.marker().col() + 1), too_deep());
    }
    // The scanner often notices a tab only behind it.
    let source = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let indentation = source.chars().take_while(|character| character.is_whitespace());
    if let Some(tab) = indentation.enumerate().find_map(|(i, c)| (c == '\t').then_some(i)) {
        let message = "a tab in the indentation, which YAML does not allow; use spaces".to_owned();
        return (Position::new(line, tab + 1), message);
    }
    let message = format!("not valid YAML: {}", error.info());
    (Position::new(line, error.marker().col() + 1), message)
}

fn too_deep() -> String {
    format!("nested more than {DEPTH_MAX} levels deep; no key is as deep as that")
}

const NO_ALIASES: &str = "YAML aliases (`*name`) are not supported; write the value out here";

/// A collection whose end has not come yet.
enum Open {
    Sequence {
        position: Position,
        items: Vec<Node>,
    },
    Mapping {
        position: Position,
        entries: Vec<Entry>,
        /// Lines of the keys so far.
        lines: HashMap<String, usize>,
        key: Option<MappingKey>,
    },
}

/// A key that waits for its value.
struct MappingKey {
    /// `None` for a key that was refused: its value is read over.
    text: Option<String>,
    position: Position,
}

/// Makes the tree of a stream of events. Its functions say `None` where reading must stop.
struct Builder<'a> {
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    errors: &'a mut ConfigErrors,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let position = place(span);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => {
                if self.root.is_some() {
                    return self.stop(
                        position,
                        "a second YAML document begins here; keep one, without further `---`",
                    );
                }
            }
            Event::Alias(_) => {
                self.errors.at(position, NO_ALIASES);
                self.add(Node { position, content: Content::Refused })?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_properties(position, anchor, tag.is_some());
                let content = if style == ScalarStyle::Plain {
                    Content::plain(&text)
                } else {
                    Content::Text(text.into_owned(), style)
                };
                self.add(Node { position, content })?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_properties(position, anchor, tag.is_some());
                self.begin(Open::Sequence { position, items: Vec::new() }, position)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_properties(position, anchor, tag.is_some());
                let (entries, lines) = (Vec::new(), HashMap::new());
                self.begin(Open::Mapping { position, entries, lines, key: None }, position)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
        }
        Some(())
    }

    fn stop(&mut self, position: Position, message: impl Into<String>) -> Option<()> {
        self.errors.at(position, message);
        None
    }

    fn refuse_properties(&mut self, position: Position, anchor: usize, tagged: bool) {
        if anchor != 0 {
            self.errors.at(
                position,
                "YAML anchors (`&name`) are not supported; remove it and write values out where \
                 they are used",
            );
        }
        if tagged {
            self.errors.at(position, "YAML tags (`!name`) are not supported; remove it");
        }
    }

    fn begin(&mut self, open: Open, position: Position) -> Option<()> {
        if self.open.len() == DEPTH_MAX {
            return self.stop(position, too_deep());
        }
        self.open.push(open);
        Some(())
    }

    fn end(&mut self) -> Option<()> {
        let node = match self.open.pop()? {
            Open::Sequence { position, items } => {
                Node { position, content: Content::Sequence(items) }
            }
            Open::Mapping { position, entries, .. } => {
                Node { position, content: Content::Mapping(entries) }
            }
        };
        self.add(node)
    }

    /// Adds a finished node to what is open: a key, a value, an item, or the root.
    fn add(&mut self, node: Node) -> Option<()> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return self.stop(
                node.position,
                format!("more than {NODES_MAX} keys and values; is it the right file?"),
            );
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::Sequence { items, .. }) => items.push(node),
            Some(Open::Mapping { entries, lines, key, .. }) => match key.take() {
                None => *key = Some(key_of(node, lines, self.errors)),
                Some(MappingKey { text: Some(text), position }) => {
                    entries.push(Entry { key: text, position, value: node });
                }
                Some(MappingKey { text: None, .. }) => {}
            },
        }
        Some(())
    }
}

fn key_of(node: Node, lines: &mut HashMap<String, usize>, errors: &mut ConfigErrors) -> MappingKey {
    let position = node.position;
    let text = match node.content {
        Content::Text(text, _) | Content::Number(_, text) => Some(text),
        Content::Bool(value) => Some(value.to_string()),
        // An alias as a key is reported already.
        Content::Refused => None,
        other => {
            errors.at(position, format!("{} cannot be a key; a key is a word", other.shown()));
            None
        }
    };
    let Some(text) = text else {
        return MappingKey { text: None, position };
    };
    if let Some(line) = lines.get(&text) {
        errors.at(
            position,
            format!("key {} is given twice; the first is on line {line}", shown(&text)),
        );
        return MappingKey { text: None, position };
    }
    lines.insert(text.clone(), position.line);
    MappingKey { text: Some(text), position }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Content {
        fn to_value(&self) -> serde_yaml::Value {
            match self {
                Self::Null | Self::Refused => serde_yaml::Value::Null,
                Self::Bool(value) => serde_yaml::Value::Bool(*value),
                Self::Number(number, _) => serde_yaml::Value::Number(number.clone()),
                Self::Text(text, _) => serde_yaml::Value::String(text.clone()),
                Self::Sequence(items) => items.iter().map(|item| item.content.to_value()).collect(),
                Self::Mapping(entries) => serde_yaml::Value::Mapping(
                    entries
                        .iter()
                        .map(|e| (Self::Text(e.key.clone(), ScalarStyle::Plain), &e.value))
                        .map(|(key, value)| (key.to_value(), value.content.to_value()))
                        .collect(),
                ),
            }
        }
    }

    fn value_of(text: &str) -> Result<serde_yaml::Value, ConfigErrors> {
        let mut errors = ConfigErrors::new("t");
        match read(text, &mut errors) {
            Some(node) if errors.is_empty() => Ok(node.content.to_value()),
            _ => Err(errors),
        }
    }

    /// What a file says is what `serde_yaml` reads in it.
    #[test]
    fn the_tree_is_what_serde_yaml_reads() {
        for text in [
            "",
            "# only a comment\n",
            "a: 1\nb: [x, 'y', \"z\\n\", 0x10, 010, 1.5, -3, +4, .inf, ~, null, true, False, off]\n",
            "a:\n- 1\n-\n- - 2\n  - b: {c: d}\n",
            "a: |\n\n  one\n   two\n\n  three\nb: >-\n  folded\n  text\nc: |+\n  kept\n\n",
            "mac: 02:00:00:00:00:83\naddress: 10.0.0.1/24\npci: 0000:00:04.0\nv6: 2001:db8::1\n",
            "a: b # c\n\"q k\": 'it''s'\n",
            "a: 1\r\nb: |\r\n  x\r\n  y\r\n",
        ] {
            let ours = value_of(text).unwrap();
            let theirs: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
            assert_eq!(ours, theirs, "{text}");
        }
    }

    proptest! {
        /// Any value that `serde_yaml` can write is read back as the same value.
        #[test]
        fn what_serde_yaml_writes_is_read_back(value in values()) {
            let text = serde_yaml::to_string(&value).unwrap();
            prop_assert_eq!(value_of(&text).unwrap(), value, "{}", text);
        }

        #[test]
        fn plain_scalars_are_what_serde_yaml_says(text in "[-+0-9a-zA-Z._~]{0,8}") {
            // Document markers and list dashes are not scalars when they stand alone.
            prop_assume!(!text.starts_with("---") && !text.starts_with("...") && text != "-");
            let theirs: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
            prop_assert_eq!(Content::plain(&text).to_value(), theirs);
        }
    }

    fn values() -> impl Strategy<Value = serde_yaml::Value> {
        let leaf = prop_oneof![
            Just(serde_yaml::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "[ -~]{0,20}".prop_map(Into::into),
            "([a-z -]{0,8}\n){0,4}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(serde_yaml::Value::Sequence),
                prop::collection::btree_map("[a-z]{1,6}", inner, 0..5).prop_map(|map| {
                    let pairs = map.into_iter().map(|(key, value)| (key.into(), value));
                    serde_yaml::Value::Mapping(pairs.collect())
                }),
            ]
        })
    }
}
