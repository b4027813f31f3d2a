//! What holds for whatever comes in.

use lb_core::ipvsadm;
use lb_core::netlink::{Access, Errno, answer, answer_and_tell};
use lb_core::operations::Operations;
use proptest::prelude::*;

use crate::director::control;
use crate::replay::{error, exchanges};

/// Bytes of the header in front of each message.
const HEADER: usize = 16;

/// Every reply is messages, one behind the other, each as long as it says.
fn check(replies: &[Vec<u8>]) {
    for reply in replies {
        let mut rest = reply.as_slice();
        while !rest.is_empty() {
            let size = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
            assert!(size >= HEADER && size.is_multiple_of(4) && size <= rest.len(), "{reply:02x?}");
            rest = &rest[size..];
        }
    }
}

/// A recorded request of which some bytes are others, cut or longer; several of them in a row.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let requests: Vec<_> = exchanges().into_iter().map(|exchange| exchange.request).collect();
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let one = (
        prop::sample::select(requests),
        prop::collection::vec(change, 0..4),
        prop::option::of(any::<prop::sample::Index>()),
    );
    prop::collection::vec(one, 1..4).prop_map(|parts| {
        let mut all = Vec::new();
        for (mut request, changes, cut) in parts {
            for (at, value) in changes {
                let at = at.index(request.len());
                request[at] = value;
            }
            if let Some(cut) = cut {
                request.truncate(cut.index(request.len()));
            }
            all.extend_from_slice(&request);
        }
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn anything_is_answered_by_whole_messages(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&answer(&bytes, &mut control(), Access::Full));
    }

    #[test]
    fn mutated_requests_are_answered_by_whole_messages(
        datagrams in prop::collection::vec(mutated(), 1..12),
    ) {
        let mut operations = control();
        for datagram in datagrams {
            check(&answer(&datagram, &mut operations, Access::Full));
        }
    }

    #[test]
    fn who_may_only_look_changes_nothing(datagram in mutated()) {
        for access in [Access::None, Access::Read] {
            let mut operations = control();
            let before = (operations.timeouts(), operations.services());
            answer(&datagram, &mut operations, access);
            prop_assert_eq!(&before, &(operations.timeouts(), operations.services()));
        }
    }
}

#[test]
fn nobody_makes_a_small_datagram_list_the_table_again_and_again() {
    let mut operations = control();
    let all = exchanges();
    let request = |section: &str, what: &str| {
        let found = all.iter().find(|it| it.section == section && it.what == what);
        found.unwrap().request.clone()
    };
    answer(&request("services", "add"), &mut operations, Access::Full);
    let dump = request("services", "dump");
    let replies = answer(&dump.repeat(1000), &mut operations, Access::Full);
    let busy = replies.iter().filter(|reply| error(reply) == Some(16)).count();
    assert_eq!((busy, replies.len()), (999, 999 + 2));
}

#[test]
fn without_rights_there_is_ipvs_but_nothing_of_it() {
    let mut operations = control();
    for exchange in exchanges() {
        let got = answer(&exchange.request, &mut operations, Access::None);
        if exchange.section == "families" {
            assert_eq!(got, exchange.replies, "{}", exchange.what);
        } else if exchange.section == "servers" {
            assert_eq!(got.iter().map(|r| error(r)).collect::<Vec<_>>(), [Some(1)]);
        }
    }
}

/// More than fits into one datagram.
#[test]
fn a_long_listing_comes_in_datagrams_that_usual_buffers_hold() {
    let mut operations = control();
    let all = exchanges();
    let add = all.iter().find(|it| it.section == "services" && it.what == "add").unwrap();
    let port = add.request.windows(2).position(|pair| pair == [0, 80]).unwrap();
    for number in 1..=1000_u16 {
        let mut request = add.request.clone();
        request[port..port + 2].copy_from_slice(&number.to_be_bytes());
        let replies = answer(&request, &mut operations, Access::Full);
        assert_eq!(replies.iter().map(|r| error(r)).collect::<Vec<_>>(), [Some(0)]);
    }
    let dump = all.iter().find(|it| it.section == "services" && it.what == "dump").unwrap();
    let replies = answer(&dump.request, &mut operations, Access::Full);
    check(&replies);
    assert!(replies.iter().all(|reply| reply.len() <= 8192));
    let messages: usize = replies.iter().map(|reply| reply.len() / 360).sum();
    assert_eq!(messages, 1000);
}

/// What is told about changes, run as commands, makes the same table.
#[test]
fn changes_are_told_as_the_commands_that_they_amount_to() {
    let mut first = control();
    let mut second = control();
    let run = |operations: &mut _, line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        ipvsadm::execute(&words, b"", operations, &ipvsadm::Numeric)
    };
    let (mut done, mut refused) = (0, 0);
    let (mut asked, mut beyond) = (Vec::new(), Vec::new());
    for exchange in exchanges() {
        let mut changes = Vec::new();
        answer_and_tell(&exchange.request, &mut first, Access::Full, |c| changes.push(c));
        for change in changes {
            let line = change.command.strip_prefix("ipvsadm ");
            if change.result.is_ok() {
                let outcome = run(&mut second, line.expect("what was done is a command"));
                assert!([0, 2].contains(&outcome.exit), "{change:?}: {outcome:?}");
                done += 1;
            } else {
                let is_named =
                    ["IPVS_CMD_", "setsockopt"].iter().any(|n| change.command.starts_with(n));
                assert!(line.is_some() || is_named, "{change:?}");
                refused += 1;
            }
        }
        asked.push(exchange.request);
        if run(&mut first, "-S -n") != run(&mut second, "-S -n") {
            // The kernel takes what ipvsadm has no words for.
            second = control();
            for request in &asked {
                answer(request, &mut second, Access::Full);
            }
            beyond.push(exchange.what);
        }
    }
    assert!(done > 20 && refused > 10, "{done} done, {refused} refused");
    assert!(beyond.len() < 10, "{beyond:?} of {done}");
}

#[test]
fn without_rights_a_change_is_told_by_name() {
    let mut told = Vec::new();
    for exchange in exchanges() {
        answer_and_tell(&exchange.request, &mut control(), Access::Read, |c| told.push(c));
    }
    assert!(told.len() > 30, "{}", told.len());
    for change in told {
        assert!(!change.command.starts_with("ipvsadm"), "{change:?}");
        assert_eq!(change.result, Err(Errno::EPERM), "{change:?}");
    }
}
