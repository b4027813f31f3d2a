//! The section `marks`.

use super::*;

#[test]
fn rules_of_both_families_and_intercepted_marks_are_read() {
    let text = "\
marks:
  rules: |
    # comment
    *mangle
    :PREROUTING ACCEPT [0:0]
    -A PREROUTING -i lan0 -d 10.0.10.100/32 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0xa

    COMMIT
  rules6: |
    -t mangle -A PREROUTING -d fd00::100 -j MARK --set-mark 10
  intercept: [10, 0xb]
";
    let config = parse_text(&format!("{PORT}{text}")).unwrap();
    assert_eq!(config.marks.rules.len(), 4);
    assert_eq!(config.marks.rules6, ["-t mangle -A PREROUTING -d fd00::100 -j MARK --set-mark 10"]);
    assert_eq!(config.marks.intercept, [10, 11]);
    let none = parse_text(&format!("{PORT}marks: {{ rules: , intercept: [] }}\n")).unwrap();
    assert_eq!(none.marks, MarksConfig::default());
}

#[test]
fn every_wrong_line_is_named_where_it_stands() {
    let text = "\
marks:
  rules: |
    -A PREROUTING -d fd00::1 -j MARK --set-mark 10
    -A PREROUTING -i wan0 -j MARK --set-mark 10
    -A PREROUTING -i lan+ -j MARK --set-mark 10
  rules6: |
    -A INPUT -j MARK --set-mark 10
  intercept: [0, 10, 0x0a]
";
    let expected = "\
sluice.yaml:4:5: marks.rules: `-A PREROUTING -d fd00::1 -j MARK --set-mark 10`: host/network \
`fd00::1' not found; write an IPv4 address: names of hosts are not looked up
sluice.yaml:5:5: marks.rules: `-A PREROUTING -i wan0 -j MARK --set-mark 10`: interface `wan0' is \
none of the director's; there are lan0
sluice.yaml:8:5: marks.rules6: `-A INPUT -j MARK --set-mark 10`: No chain/target/match by the \
name `INPUT'; packets are marked in PREROUTING
sluice.yaml:9:15: marks.intercept[0]: `0' is no mark; write a number from 1 to 0xffffffff
sluice.yaml:9:22: marks.intercept[1]: mark 0xa is there from line 9; remove one";
    assert_eq!(mistakes(&format!("{PORT}{text}")), expected);
}

#[test]
fn a_mistake_in_a_port_is_not_one_of_the_rules() {
    let ports = "ports: [ { name: 'l n', device: net_tap0 } ]\n";
    let marks = "marks:\n  rules: |\n    -A PREROUTING -i lan0 -j MARK --set-mark 10\n";
    let found = mistakes(&format!("{ports}{marks}"));
    assert_eq!(found.lines().count(), 1, "{found}");
    assert!(found.contains("ports[0].name"), "{found}");
}
