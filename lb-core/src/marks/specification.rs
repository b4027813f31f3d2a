//! What a rule is made of, while its words are read.

use super::error::MarksError;
use super::grammar::{COMMENT, MARK_MATCH, MARK_TARGET, MULTIPORT, Own, PORTS, Word};
use super::number::{addresses, number, port_list, port_range, value_and_mask};
use super::ports::{End, PortMatch, PortRange};
use super::protocols;
use super::rule::{Change, INTERFACE_LEN_MAX, InterfaceMatch, Match, ProtocolMatch, Rule, Target};
use crate::ipvsadm::Names;
use crate::protocol::Protocol;
use crate::service::Family;

/// Longest comment in bytes (`XT_MAX_COMMENT_LEN` less its final zero).
const COMMENT_LEN_MAX: usize = 255;

/// A port or range of one end, and whether it is negated.
type PortsOfEnd = Option<(PortRange, bool)>;

/// A match that was loaded, and what was said of it so far.
#[derive(Debug)]
enum OpenMatch {
    Ends { protocol: Protocol, source: PortsOfEnd, destination: PortsOfEnd },
    Multiport(Option<(End, Vec<PortRange>, bool)>),
    Mark(Option<(u32, u32, bool)>),
    Comment(Option<String>),
}

impl OpenMatch {
    const fn words(&self) -> &'static [Word] {
        match self {
            Self::Ends { .. } => PORTS,
            Self::Multiport(_) => MULTIPORT,
            Self::Mark(_) => MARK_MATCH,
            Self::Comment(_) => COMMENT,
        }
    }
}

/// The target, and what was said of it so far.
#[derive(Debug)]
enum OpenTarget {
    Mark(Option<(&'static str, Change)>),
    Accept,
    Return,
}

/// A rule in the making.
#[derive(Debug, Default)]
pub(super) struct Specification {
    source: Option<(String, bool)>,
    destination: Option<(String, bool)>,
    interface: Option<InterfaceMatch>,
    protocol: Option<(u8, bool)>,
    matches: Vec<OpenMatch>,
    target: Option<OpenTarget>,
    /// The first option that is of a rule, for commands that take none.
    pub(super) first: Option<String>,
}

impl Specification {
    /// Options of what was loaded, the latest first.
    pub(super) fn loaded(&self) -> Vec<&'static [Word]> {
        let target = matches!(self.target, Some(OpenTarget::Mark(_))).then_some(MARK_TARGET);
        target.into_iter().chain(self.matches.iter().rev().map(OpenMatch::words)).collect()
    }

    /// `-s` and `-d`. They are read at the end, when the family is known.
    pub(super) fn set_address(
        &mut self,
        is_source: bool,
        text: &str,
        negated: bool,
    ) -> Result<(), MarksError> {
        let (end, name) =
            if is_source { (&mut self.source, "-s") } else { (&mut self.destination, "-d") };
        let before = end.replace((text.to_owned(), negated));
        before.map_or(Ok(()), |_| Err(MarksError::TwoFlags(name)))
    }

    /// `-i`
    pub(super) fn set_interface(&mut self, name: &str, negated: bool) -> Result<(), MarksError> {
        if name.is_empty() {
            return Err(MarksError::NoInterface);
        }
        if name.len() > INTERFACE_LEN_MAX {
            return Err(MarksError::InterfaceTooLong(name.to_owned()));
        }
        if name == "+" && negated {
            return Err(MarksError::Never("an interface"));
        }
        let before = self.interface.replace(InterfaceMatch { pattern: name.to_owned(), negated });
        before.map_or(Ok(()), |_| Err(MarksError::TwoFlags("-i")))
    }

    /// `-p`
    pub(super) fn set_protocol(&mut self, text: &str, negated: bool) -> Result<(), MarksError> {
        let number = number(text, u8::MAX.into()).and_then(|number| u8::try_from(number).ok());
        let number = number
            .or_else(|| protocols::number_of(text))
            .ok_or_else(|| MarksError::Protocol(text.to_owned()))?;
        if number == 0 && negated {
            return Err(MarksError::Never("a protocol"));
        }
        let before = self.protocol.replace((number, negated));
        before.map_or(Ok(()), |_| Err(MarksError::TwoFlags("-p")))
    }

    /// `-m`
    pub(super) fn load_match(&mut self, name: &str) -> Result<(), MarksError> {
        let ends = |protocol| OpenMatch::Ends { protocol, source: None, destination: None };
        self.matches.push(match name {
            "tcp" => ends(Protocol::Tcp),
            "udp" => ends(Protocol::Udp),
            "sctp" => ends(Protocol::Sctp),
            "multiport" => OpenMatch::Multiport(None),
            "mark" => OpenMatch::Mark(None),
            "comment" => OpenMatch::Comment(None),
            _ => return Err(MarksError::UnknownMatch(name.to_owned())),
        });
        Ok(())
    }

    /// Loads the match of the protocol, if it has one that is not loaded yet: its options may
    /// stand there without `-m`.
    pub(super) fn load_protocol(&mut self) -> bool {
        let Some(protocol) = self.protocol.and_then(|(number, _)| Protocol::from_number(number))
        else {
            return false;
        };
        let is_loaded = |loaded: &OpenMatch| matches!(loaded, OpenMatch::Ends { .. });
        if self.matches.iter().any(is_loaded) {
            return false;
        }
        self.matches.push(OpenMatch::Ends { protocol, source: None, destination: None });
        true
    }

    /// `-j`
    pub(super) fn set_target(&mut self, name: &str) -> Result<(), MarksError> {
        let target = match name {
            "MARK" => OpenTarget::Mark(None),
            "ACCEPT" => OpenTarget::Accept,
            "RETURN" => OpenTarget::Return,
            _ => return Err(MarksError::Target(name.to_owned())),
        };
        let before = self.target.replace(target);
        before.map_or(Ok(()), |_| Err(MarksError::TwoFlags("-j")))
    }

    /// An option of a match or target that was loaded.
    pub(super) fn set_own(
        &mut self,
        own: Own,
        text: &str,
        negated: bool,
        names: &dyn Names,
    ) -> Result<(), MarksError> {
        match own {
            Own::SourcePort => self.set_port(true, text, negated, names),
            Own::DestinationPort => self.set_port(false, text, negated, names),
            Own::SourcePorts => self.set_ports(End::Source, text, negated, names),
            Own::DestinationPorts => self.set_ports(End::Destination, text, negated, names),
            Own::EitherPorts => self.set_ports(End::Either, text, negated, names),
            Own::Mark => self.set_mark_match(text, negated),
            Own::Comment if negated => Err(MarksError::NotNegatable("--comment".to_owned())),
            Own::Comment => self.set_comment(text),
            _ if negated => Err(MarksError::NotNegatable("a change of the mark".to_owned())),
            Own::SetXmark | Own::SetMark | Own::AndMark | Own::OrMark | Own::XorMark => {
                self.set_change(own, text)
            }
        }
    }

    fn set_port(
        &mut self,
        is_source: bool,
        text: &str,
        negated: bool,
        names: &dyn Names,
    ) -> Result<(), MarksError> {
        for open in self.matches.iter_mut().rev() {
            let OpenMatch::Ends { protocol, source, destination } = open else { continue };
            let range = port_range(text, *protocol, names)?;
            let (end, name) = if is_source {
                (source, "--source-port")
            } else {
                (destination, "--destination-port")
            };
            if range == PortRange::ALL && negated {
                return Err(MarksError::Never("a port"));
            }
            let before = end.replace((range, negated));
            return before
                .map_or(Ok(()), |_| Err(MarksError::Twice(protocol_word(*protocol), name)));
        }
        Ok(())
    }

    fn set_ports(
        &mut self,
        end: End,
        text: &str,
        negated: bool,
        names: &dyn Names,
    ) -> Result<(), MarksError> {
        let protocol = match self.protocol {
            Some((number, false)) => Protocol::from_number(number),
            _ => None,
        };
        let protocol = protocol.ok_or(MarksError::MultiportProtocol)?;
        for open in self.matches.iter_mut().rev() {
            let OpenMatch::Multiport(said) = open else { continue };
            if let Some((before, ..)) = said {
                return Err(if *before == end {
                    MarksError::Twice("multiport", before.option())
                } else {
                    MarksError::Together("multiport", before.option(), end.option())
                });
            }
            *said = Some((end, port_list(text, protocol, names)?, negated));
            break;
        }
        Ok(())
    }

    fn set_mark_match(&mut self, text: &str, negated: bool) -> Result<(), MarksError> {
        let wrong = || MarksError::Number("mark", "--mark", text.to_owned(), "VALUE or VALUE/MASK");
        let (value, mask) = value_and_mask(text).ok_or_else(wrong)?;
        for open in self.matches.iter_mut().rev() {
            let OpenMatch::Mark(said) = open else { continue };
            let before = said.replace((value, mask, negated));
            return before.map_or(Ok(()), |_| Err(MarksError::Twice("mark", "--mark")));
        }
        Ok(())
    }

    fn set_comment(&mut self, text: &str) -> Result<(), MarksError> {
        if text.len() > COMMENT_LEN_MAX || text.chars().any(char::is_control) {
            return Err(MarksError::Comment);
        }
        for open in self.matches.iter_mut().rev() {
            let OpenMatch::Comment(said) = open else { continue };
            let before = said.replace(text.to_owned());
            return before.map_or(Ok(()), |_| Err(MarksError::Twice("comment", "--comment")));
        }
        Ok(())
    }

    fn set_change(&mut self, own: Own, text: &str) -> Result<(), MarksError> {
        let (name, has_mask) = match own {
            Own::SetXmark => ("--set-xmark", true),
            Own::SetMark => ("--set-mark", true),
            Own::AndMark => ("--and-mark", false),
            Own::OrMark => ("--or-mark", false),
            _ => ("--xor-mark", false),
        };
        let form = if has_mask { "VALUE or VALUE/MASK" } else { "VALUE" };
        let wrong = || MarksError::Number("MARK", name, text.to_owned(), form);
        let (value, mask) = if has_mask {
            value_and_mask(text).ok_or_else(wrong)?
        } else {
            (number(text, u32::MAX).ok_or_else(wrong)?, 0)
        };
        // As iptables turns all of them into --set-xmark (`MARK_parse`).
        let change = match own {
            Own::SetXmark => Change { value, mask },
            Own::SetMark => Change { value, mask: mask | value },
            Own::AndMark => Change { value: 0, mask: !value },
            Own::OrMark => Change { value, mask: value },
            _ => Change { value, mask: 0 },
        };
        let Some(OpenTarget::Mark(said)) = &mut self.target else { return Ok(()) };
        match said.replace((name, change)) {
            None => Ok(()),
            Some((before, _)) if before == name => Err(MarksError::Twice("MARK", name)),
            Some((before, _)) => Err(MarksError::Together("MARK", before, name)),
        }
    }

    /// The rules: one for each source with each destination.
    pub(super) fn finish(self, family: Family) -> Result<Vec<Rule>, MarksError> {
        let number = self.protocol.map_or(0, |(number, _)| number);
        if family == Family::V6 && matches!(number, 43 | 44 | 51 | 60) {
            return Err(MarksError::Never("an extension header as a protocol"));
        }
        let known = match self.protocol {
            Some((number, false)) => Protocol::from_number(number),
            _ => None,
        };
        let matches: Result<Vec<_>, _> =
            self.matches.into_iter().map(|open| open.finish(known)).collect();
        let interface = self.interface.filter(|interface| interface.pattern != "+");
        let protocol = self
            .protocol
            .filter(|(number, _)| *number != 0)
            .map(|(number, negated)| ProtocolMatch { number, negated });
        let target = self.target.map(OpenTarget::finish).transpose()?;
        let rule = Rule { interface, protocol, matches: matches?, target, ..Rule::default() };
        let read = |end: &Option<(String, bool)>, name| {
            end.as_ref().map_or_else(
                || Ok(vec![None]),
                |(text, negated)| addresses(text, family, *negated, name),
            )
        };
        let destinations = read(&self.destination, "a destination")?;
        let sources = read(&self.source, "a source")?;
        if sources.len().saturating_mul(destinations.len()) > super::chain::RULES_MAX {
            return Err(MarksError::TooManyRules);
        }
        let pairs = sources
            .into_iter()
            .flat_map(|source| destinations.iter().map(move |&destination| (source, destination)));
        Ok(pairs
            .map(|(source, destination)| Rule { source, destination, ..rule.clone() })
            .collect())
    }
}

impl OpenMatch {
    fn finish(self, known: Option<Protocol>) -> Result<Match, MarksError> {
        Ok(match self {
            Self::Ends { protocol, source, destination } => {
                if known != Some(protocol) {
                    let (upper, lower) = (protocol.name(), protocol_word(protocol));
                    return Err(MarksError::NeedsProtocol(upper, lower));
                }
                let said = |end: PortsOfEnd| end.filter(|(range, _)| *range != PortRange::ALL);
                let (source, destination) = (said(source), said(destination));
                Match::Ports(PortMatch::Ends { protocol, source, destination })
            }
            Self::Multiport(None) => {
                return Err(MarksError::Missing("multiport", "--sports, --dports or --ports"));
            }
            Self::Multiport(Some((end, ranges, negated))) => {
                if known.is_none() {
                    return Err(MarksError::MultiportProtocol);
                }
                Match::Ports(PortMatch::Multiport { end, ranges, negated })
            }
            Self::Mark(None) => return Err(MarksError::Missing("mark", "option \"--mark\"")),
            Self::Mark(Some((value, mask, negated))) => Match::Mark { value, mask, negated },
            Self::Comment(said) => {
                Match::Comment(said.ok_or(MarksError::Missing("comment", "option \"--comment\""))?)
            }
        })
    }
}

impl OpenTarget {
    fn finish(self) -> Result<Target, MarksError> {
        match self {
            Self::Mark(None) => Err(MarksError::Missing(
                "MARK",
                "One of the --set-xmark, --{and,or,xor,set}-mark options",
            )),
            Self::Mark(Some((_, change))) => Ok(Target::Mark(change)),
            Self::Accept => Ok(Target::Accept),
            Self::Return => Ok(Target::Return),
        }
    }
}

/// The protocol as `-p` and `-m` have it.
pub(super) const fn protocol_word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}
