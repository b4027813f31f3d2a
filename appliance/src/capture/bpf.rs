//! Classic BPF: the programs that libpcap compiles tcpdump's filters to (McCanne and Jacobson,
//! "The BSD Packet Filter", 1993; constants as in bpf(4)).
//!
//! A program comes from whoever asks for a capture and runs on workers, so it is checked as a
//! whole before: every jump goes forward and stays inside, scratch memory is not left, the last
//! instruction ends it. What is checked then ends after as many steps as it has instructions, and
//! reads nothing but the frame.

/// Longest program (`BPF_MAXINSNS`).
pub const INSTRUCTIONS_MAX: usize = 4096;
/// Words of scratch memory (`BPF_MEMWORDS`).
const MEMORY_WORDS: usize = 16;

/// One instruction, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A or X becomes a value.
    Load(Register, Value),
    /// A or X goes into scratch memory.
    Store(Register, usize),
    /// A becomes the result of an operation on it.
    Compute(Operation, Operand),
    Negate,
    /// How many instructions to leave out.
    Jump(usize),
    /// The same, by a condition on A: if it holds, and if not.
    Branch(Condition, Operand, usize, usize),
    /// How many bytes of the frame are wanted; 0: it does not match.
    Return(Operand),
    ReturnA,
    /// X := A, or A := X.
    ToX,
    ToA,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Register {
    A,
    X,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Constant(u32),
    Length,
    Memory(usize),
    /// So many bytes of the frame at an offset, to which X is added or not.
    Frame {
        at: u32,
        width: u32,
        by_x: bool,
    },
    /// Four times the low nibble of a byte: the length of an IPv4 header.
    HeaderLength(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand {
    Constant(u32),
    X,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Or,
    And,
    Xor,
    ShiftLeft,
    ShiftRight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Equal,
    Greater,
    GreaterOrEqual,
    AnyBit,
}

/// Why words are no program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BpfError {
    #[error("`{0}' is not `COUNT,CODE JT JF K,...', as `tcpdump -ddd | tr '\\n' ,' prints it")]
    Form(String),
    #[error("{0} instructions, there may be 1 to {INSTRUCTIONS_MAX}")]
    Length(usize),
    #[error("instruction {at}: no code {code:#x}")]
    Code { at: usize, code: u16 },
    #[error("instruction {at}: jumps out of the program")]
    Jump { at: usize },
    #[error("instruction {at}: no word {word} of {MEMORY_WORDS} words of memory")]
    Memory { at: usize, word: u32 },
    #[error("instruction {at}: a division by 0")]
    Division { at: usize },
    #[error("the last instruction does not end the program")]
    End,
}

/// A program that was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program(Vec<Step>);

/// An instruction as it is written: code, jump if true, jump if false, constant.
type Instruction = (u16, u8, u8, u32);

impl Program {
    /// Reads the form of `tcpdump -ddd` with commas between the lines: `1,6 0 0 262144`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, BpfError> {
        let form = |text: &str| BpfError::Form(text.chars().take(40).collect());
        let mut parts = text.trim_end_matches(',').split(',');
        let count = parts.next().and_then(|count| count.trim().parse::<usize>().ok());
        let count = count.ok_or_else(|| form(text))?;
        let instructions = parts
            .map(|part| instruction(part).ok_or_else(|| form(part)))
            .collect::<Result<Vec<_>, _>>()?;
        if instructions.len() != count {
            return Err(form(text));
        }
        Self::check(&instructions)
    }

    fn check(instructions: &[Instruction]) -> Result<Self, BpfError> {
        let count = instructions.len();
        if count == 0 || count > INSTRUCTIONS_MAX {
            return Err(BpfError::Length(count));
        }
        let steps = instructions
            .iter()
            .enumerate()
            .map(|(at, it)| decode(at, *it, count))
            .collect::<Result<Vec<_>, _>>()?;
        match steps.last() {
            Some(Step::Return(_) | Step::ReturnA) => Ok(Self(steps)),
            _ => Err(BpfError::End),
        }
    }

    /// Whether it takes a frame of `length` bytes, of which `frame` is the beginning or all.
    pub fn takes(&self, frame: &[u8], length: usize) -> bool {
        self.run(frame, length).unwrap_or(0) != 0
    }

    /// What it returns; `None` where it reads behind the frame or divides by 0, which ends it.
    fn run(&self, frame: &[u8], length: usize) -> Option<u32> {
        let (mut a, mut x) = (0_u32, 0_u32);
        let mut memory = [0_u32; MEMORY_WORDS];
        let mut at = 0;
        // The check lets jumps go forward only.
        while let Some(&step) = self.0.get(at) {
            at += 1;
            match step {
                Step::Load(register, value) => {
                    let value = load(value, x, &memory, frame, length)?;
                    *(if register == Register::A { &mut a } else { &mut x }) = value;
                }
                Step::Store(register, word) => {
                    memory[word] = if register == Register::A { a } else { x };
                }
                Step::Compute(operation, by) => a = compute(operation, a, operand(by, x))?,
                Step::Negate => a = a.wrapping_neg(),
                Step::Jump(over) => at += over,
                Step::Branch(condition, to, then, otherwise) => {
                    at += if holds(condition, a, operand(to, x)) { then } else { otherwise };
                }
                Step::Return(value) => return Some(operand(value, x)),
                Step::ReturnA => return Some(a),
                Step::ToX => x = a,
                Step::ToA => a = x,
            }
        }
        None
    }
}

fn instruction(text: &str) -> Option<Instruction> {
    let mut words = text.split_whitespace();
    let code = words.next()?.parse().ok()?;
    let (then, otherwise) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let constant = words.next()?.parse().ok()?;
    words.next().is_none().then_some((code, then, otherwise, constant))
}

/// Class of a code, and what the classes have in common.
mod code {
    pub(super) const CLASS: u16 = 0x07;
    pub(super) const X: u16 = 0x08;
    pub(super) const MODE: u16 = 0xe0;
    pub(super) const SIZE: u16 = 0x18;
    pub(super) const OPERATION: u16 = 0xf0;
}

fn decode(
    at: usize,
    (code, then, otherwise, k): Instruction,
    count: usize,
) -> Result<Step, BpfError> {
    let bad = BpfError::Code { at, code };
    let word = || match usize::try_from(k) {
        Ok(word) if word < MEMORY_WORDS => Ok(word),
        _ => Err(BpfError::Memory { at, word: k }),
    };
    // Behind the instruction there have to be more than are left out.
    let jump = |over: u32| {
        let over = usize::try_from(over).unwrap_or(usize::MAX);
        if over < count - 1 - at { Ok(over) } else { Err(BpfError::Jump { at }) }
    };
    let by = if code & code::X == 0 { Operand::Constant(k) } else { Operand::X };
    Ok(match code & code::CLASS {
        0 => Step::Load(
            Register::A,
            match (code & code::MODE, code & code::SIZE) {
                (0x00, 0) => Value::Constant(k),
                (0x20, size) => frame_value(k, size, false).ok_or(bad)?,
                (0x40, size) => frame_value(k, size, true).ok_or(bad)?,
                (0x60, 0) => Value::Memory(word()?),
                (0x80, 0) => Value::Length,
                _ => return Err(bad),
            },
        ),
        1 => Step::Load(
            Register::X,
            match code & !code::CLASS {
                0x00 => Value::Constant(k),
                0x60 => Value::Memory(word()?),
                0x80 => Value::Length,
                0xb0 => Value::HeaderLength(k),
                _ => return Err(bad),
            },
        ),
        2 if code == 0x02 => Step::Store(Register::A, word()?),
        3 if code == 0x03 => Step::Store(Register::X, word()?),
        4 if code == 0x84 => Step::Negate,
        4 => {
            let operation =
                operation(code & code::OPERATION).filter(|_| code < 0x100).ok_or(bad)?;
            let divides = matches!(operation, Operation::Divide | Operation::Remainder);
            if divides && by == Operand::Constant(0) {
                return Err(BpfError::Division { at });
            }
            Step::Compute(operation, by)
        }
        5 if code == 0x05 => Step::Jump(jump(k)?),
        5 => {
            let condition =
                condition(code & code::OPERATION).filter(|_| code < 0x100).ok_or(bad)?;
            Step::Branch(condition, by, jump(then.into())?, jump(otherwise.into())?)
        }
        6 => match code {
            0x06 => Step::Return(Operand::Constant(k)),
            0x0e => Step::Return(Operand::X),
            0x16 => Step::ReturnA,
            _ => return Err(bad),
        },
        7 if code == 0x07 => Step::ToX,
        7 if code == 0x87 => Step::ToA,
        _ => return Err(bad),
    })
}

const fn frame_value(at: u32, size: u16, by_x: bool) -> Option<Value> {
    let width = match size {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => return None,
    };
    Some(Value::Frame { at, width, by_x })
}

const fn operation(code: u16) -> Option<Operation> {
    Some(match code {
        0x00 => Operation::Add,
        0x10 => Operation::Subtract,
        0x20 => Operation::Multiply,
        0x30 => Operation::Divide,
        0x40 => Operation::Or,
        0x50 => Operation::And,
        0x60 => Operation::ShiftLeft,
        0x70 => Operation::ShiftRight,
        0x90 => Operation::Remainder,
        0xa0 => Operation::Xor,
        _ => return None,
    })
}

const fn condition(code: u16) -> Option<Condition> {
    Some(match code {
        0x10 => Condition::Equal,
        0x20 => Condition::Greater,
        0x30 => Condition::GreaterOrEqual,
        0x40 => Condition::AnyBit,
        _ => return None,
    })
}

const fn operand(operand: Operand, x: u32) -> u32 {
    match operand {
        Operand::Constant(constant) => constant,
        Operand::X => x,
    }
}

fn load(
    value: Value,
    x: u32,
    memory: &[u32; MEMORY_WORDS],
    frame: &[u8],
    length: usize,
) -> Option<u32> {
    match value {
        Value::Constant(constant) => Some(constant),
        Value::Length => u32::try_from(length).ok(),
        Value::Memory(word) => Some(memory[word]),
        Value::Frame { at, width, by_x } => {
            let first = usize::try_from(at.checked_add(if by_x { x } else { 0 })?).ok()?;
            let bytes = frame.get(first..first.checked_add(usize::try_from(width).ok()?)?)?;
            Some(bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte)))
        }
        Value::HeaderLength(at) => {
            let byte = frame.get(usize::try_from(at).ok()?)?;
            Some(u32::from(byte & 0xf) << 2)
        }
    }
}

fn compute(operation: Operation, a: u32, by: u32) -> Option<u32> {
    Some(match operation {
        Operation::Add => a.wrapping_add(by),
        Operation::Subtract => a.wrapping_sub(by),
        Operation::Multiply => a.wrapping_mul(by),
        Operation::Divide => a.checked_div(by)?,
        Operation::Remainder => a.checked_rem(by)?,
        Operation::Or => a | by,
        Operation::And => a & by,
        Operation::Xor => a ^ by,
        Operation::ShiftLeft => a.checked_shl(by).unwrap_or(0),
        Operation::ShiftRight => a.checked_shr(by).unwrap_or(0),
    })
}

const fn holds(condition: Condition, a: u32, to: u32) -> bool {
    match condition {
        Condition::Equal => a == to,
        Condition::Greater => a > to,
        Condition::GreaterOrEqual => a >= to,
        Condition::AnyBit => a & to != 0,
    }
}

#[cfg(test)]
mod tests {
    use lb_core::wire::build::{Link, Tcp, Udp};
    use proptest::prelude::*;

    use super::*;
    use crate::capture::filter::compile;

    fn frames() -> Vec<Vec<u8>> {
        let (link, vlan) = (Link::default(), Link { vlan: Some(7), ..Link::default() });
        let tcp = |src, dst, link: &Link| Tcp { src, dst, ..Tcp::default() }.frame(link);
        let udp = |src, dst, link: &Link| Udp { src, dst, ..Udp::default() }.frame(link);
        vec![
            tcp("10.0.10.1:1024", "10.0.10.100:80", &link),
            tcp("10.0.10.2:80", "10.0.10.100:1024", &link),
            tcp("[fd00::1]:1024", "[fd00::100]:443", &link),
            udp("10.0.10.1:53", "10.0.10.100:53", &link),
            udp("[fd00::1]:53", "[fd00::2]:5353", &link),
            tcp("10.0.10.1:1024", "10.0.10.100:80", &vlan),
            vec![0xff; 60],
            vec![0; 13],
            Vec::new(),
        ]
    }

    /// libpcap's own interpreter says the same of everything that its compiler makes.
    #[test]
    fn programs_take_what_libpcap_takes() {
        let filters = [
            "",
            "ip",
            "ip6",
            "arp",
            "tcp",
            "udp port 53",
            "tcp dst port 80",
            "port 80 or port 443",
            "host 10.0.10.1",
            "src net 10.0.10.0/31",
            "not host 10.0.10.1",
            "vlan 7 and tcp",
            "vlan and host 10.0.10.100",
            "tcp[tcpflags] & tcp-syn != 0",
            "len > 58",
            "less 60",
            "ip[8] = 64",
            "ether broadcast",
            "ip6 host fd00::1",
            "greater 1",
            "tcp[((tcp[12] & 0xf0) >> 2):4] = 0",
            "ip proto 17 and portrange 50-60",
            "(ip[2:2] - ((ip[0]&0xf)<<2)) % 7 = 6",
            "ip multicast",
            "icmp or icmp6",
            "ether[6:4] ^ 5 >= 2 and ether[0] / 2 < 9 and -ip[3] != 0",
            "ip[6:2] & 0x1fff = 0",
        ];
        let mut taken = 0;
        for filter in filters {
            let theirs = compile::program(filter).unwrap();
            let ours = Program::read(&compile::text(&theirs)).unwrap();
            for frame in frames() {
                let is_taken = theirs.filter(&frame);
                taken += usize::from(is_taken);
                assert_eq!(ours.takes(&frame, frame.len()), is_taken, "{filter}: {frame:02x?}");
            }
        }
        assert!(taken > 40, "{taken}");
    }

    #[test]
    fn what_is_no_program_is_refused_by_name() {
        let refused = |text: &str| Program::read(text).unwrap_err().to_string();
        assert!(refused("").contains("tcpdump -ddd"));
        assert!(refused("2,6 0 0 0").contains("COUNT"));
        assert!(refused("1,6 0 0").contains("COUNT"));
        assert_eq!(refused("0"), "0 instructions, there may be 1 to 4096");
        assert_eq!(refused("1,255 0 0 0"), "instruction 0: no code 0xff");
        assert_eq!(refused("2,5 0 0 1,6 0 0 0"), "instruction 0: jumps out of the program");
        assert_eq!(refused("2,21 0 1 1,6 0 0 0"), "instruction 0: jumps out of the program");
        assert_eq!(
            refused("2,5 0 0 4294967295,6 0 0 0"),
            "instruction 0: jumps out of the program"
        );
        assert!(refused("2,2 0 0 16,6 0 0 0").contains("no word 16"));
        assert_eq!(refused("2,52 0 0 0,6 0 0 0"), "instruction 0: a division by 0");
        assert_eq!(refused("1,0 0 0 0"), "the last instruction does not end the program");
    }

    proptest! {
        /// Codes that occur are drawn more often than others, so that some are programs.
        #[test]
        fn nothing_makes_it_panic(
            instructions in proptest::collection::vec(
                (prop_oneof![
                    proptest::sample::select(vec![
                        0x00_u16, 0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x60, 0x80, 0x01, 0x61, 0x81,
                        0xb1, 0x02, 0x03, 0x04, 0x0c, 0x14, 0x1c, 0x24, 0x34, 0x3c, 0x44, 0x54,
                        0x64, 0x6c, 0x74, 0x84, 0x94, 0x9c, 0xa4, 0x05, 0x15, 0x1d, 0x25, 0x35,
                        0x45, 0x0e, 0x16, 0x07, 0x87,
                    ]),
                    any::<u16>(),
                ], 0_u8..4, 0_u8..4, prop_oneof![0_u32..40, any::<u32>()]),
                0..12,
            ),
            frame in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut instructions = instructions;
            instructions.extend([(0x16, 0, 0, 0); 5]);
            if let Ok(program) = Program::check(&instructions) {
                program.takes(&frame, frame.len());
            }
        }
    }
}
