//! Where figures are served.

use super::*;

#[test]
fn figures_are_served_where_the_file_says() {
    let metrics = |lines: &str| parse_text(&format!("{PORT}{lines}")).unwrap().metrics;
    let none = metrics("");
    assert!(none.listen.is_empty() && none.socket.is_none() && none.servers);
    assert_eq!(none.series, 250_000);
    let one = metrics("metrics: { listen: 127.0.0.1:9107 }\n");
    assert_eq!(one.listen, ["127.0.0.1:9107".parse().unwrap()]);
    let all = metrics(
        "metrics:\n  listen: [127.0.0.1:9107, \"[::1]:9107\"]\n  socket: /run/m.sock\n  \
         servers: false\n  series: 1000\n",
    );
    assert_eq!(all.listen.len(), 2);
    assert_eq!(all.socket.as_deref(), Some(Path::new("/run/m.sock")));
    assert_eq!((all.servers, all.series), (false, 1000));
}

#[test]
fn where_they_cannot_be_served_is_said() {
    assert_mistake(
        "metrics: { listen: 127.0.0.1 }\n",
        "2:20: metrics.listen[0]: `127.0.0.1` is no address with a port; write for example \
         `127.0.0.1:9107` or `[::1]:9107`",
    );
    assert_mistake(
        "metrics: { listen: 9107 }\n",
        "2:20: metrics.listen[0]: `9107` is no address with a port; write for example \
         `127.0.0.1:9107` or `[::1]:9107`",
    );
    assert_mistake(
        "metrics:\n  listen:\n    - 127.0.0.1:9107\n    - 127.0.0.1:9107\n",
        "5:7: metrics.listen[1]: `127.0.0.1:9107` stands on line 4 already; remove one",
    );
    assert_mistake(
        "metrics: { socket: /run/sluice/control.sock }\n",
        "2:20: metrics.socket: `/run/sluice/control.sock` is control.socket, too; give each a path \
         of its own",
    );
    assert_mistake(
        "metrics: { series: 10 }\n",
        "2:20: metrics.series: 10 is out of range; write a number from 1000 to 10000000",
    );
}
