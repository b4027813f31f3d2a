//! UDP: one state, a flow that has been seen.

/// The state of a UDP flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum UdpState {
    #[default]
    Normal = 0,
}

impl UdpState {
    /// The state with the kernel's number.
    #[inline]
    pub const fn from_number(number: u8) -> Option<Self> {
        if number == 0 { Some(Self::Normal) } else { None }
    }

    /// The kernel's number.
    #[inline]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name as listed.
    pub const fn name(self) -> &'static str {
        "UDP"
    }

    /// Never: a flow without a beginning and an end counts as inactive.
    #[inline]
    pub const fn is_active(self) -> bool {
        false
    }
}
