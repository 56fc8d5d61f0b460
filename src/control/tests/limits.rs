//! Slow and many clients, over real connections.
#![cfg(unix)]

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

use super::*;
use crate::journal::Event;

/// Far more than anything takes: only a failure waits.
const PATIENCE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

async fn start(limits: Limits) -> (Directory, Rig, Control) {
    let directory = Directory::new();
    let rig = rig().await;
    let control = Control::start(rig.clone(), directory.options(limits)).await;
    (directory, rig, control.unwrap())
}

async fn connect(control: &Control) -> UnixStream {
    let socket = control.places().socket.unwrap();
    UnixStream::connect(socket).await.unwrap()
}

/// What comes until the server hangs up.
async fn rest(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    // The server may hang up before it has read everything.
    let _ = read.expect("it hangs up");
    String::from_utf8(bytes).unwrap()
}

/// Whether a new client is served.
async fn is_served(control: &Control) -> bool {
    let mut stream = connect(control).await;
    let request = b"GET /v1/server HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let _ = stream.write_all(request).await; // it may have hung up
    rest(&mut stream).await.starts_with("HTTP/1.1 200 ")
}

#[tokio::test]
async fn client_that_says_nothing_or_half_is_hung_up_on() {
    let limits = Limits {
        head: SHORT,
        ..Limits::default()
    };
    let (_directory, _rig, control) = start(limits).await;
    let mut silent = connect(&control).await;
    let mut half = connect(&control).await;
    half.write_all(b"GET /v1/server HTTP/1.1\r\nHos")
        .await
        .unwrap();
    let mut idle = connect(&control).await;
    let request = b"GET /v1/server HTTP/1.1\r\nHost: x\r\n\r\n";
    idle.write_all(request).await.unwrap();
    assert!(is_served(&control).await);
    assert_eq!(rest(&mut silent).await, "");
    let half = rest(&mut half).await;
    assert!(
        half.is_empty() || half.starts_with("HTTP/1.1 408 "),
        "{half}"
    );
    assert!(rest(&mut idle).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn body_that_never_comes_ends_while_others_are_served() {
    let limits = Limits {
        body: SHORT,
        ..Limits::default()
    };
    let (_directory, _rig, control) = start(limits).await;
    let mut slow = connect(&control).await;
    let head = b"POST /v1/keys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                 Content-Length: 20\r\n\r\n{";
    slow.write_all(head).await.unwrap();
    assert!(is_served(&control).await);
    assert!(rest(&mut slow).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn idle_connections_give_way_to_new_ones() {
    let limits = Limits {
        connections: 2,
        head: PATIENCE * 100,
        ..Limits::default()
    };
    let (_directory, _rig, control) = start(limits).await;
    let mut first = connect(&control).await;
    let _second = connect(&control).await;
    assert!(is_served(&control).await);
    assert_eq!(rest(&mut first).await, "");
}

#[tokio::test]
async fn requests_that_wait_are_bounded_and_end_with_the_control_plane() {
    let limits = Limits {
        waiting: 1,
        ..Limits::default()
    };
    let (_directory, _rig, control) = start(limits).await;
    let request = b"GET /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut follows = connect(&control).await;
    follows.write_all(request).await.unwrap();
    let mut head = [0; 12];
    follows.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    let mut more = connect(&control).await;
    more.write_all(request).await.unwrap();
    assert!(rest(&mut more).await.starts_with("HTTP/1.1 503 "));
    control.stop().await;
    rest(&mut follows).await;
}

/// The lines of the stream of events from where the headers ask.
async fn follow(control: &Control, query: &str, headers: &str) -> BufReader<UnixStream> {
    let mut stream = connect(control).await;
    let request = format!("GET /v1/events{query} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    BufReader::new(stream)
}

/// The next line that begins so, without that.
async fn line(stream: &mut BufReader<UnixStream>, start: &str) -> String {
    timeout(PATIENCE, async {
        loop {
            let mut line = String::new();
            assert_ne!(stream.read_line(&mut line).await.unwrap(), 0, "it ended");
            if let Some(rest) = line.strip_prefix(start) {
                return rest.trim().to_owned();
            }
        }
    })
    .await
    .expect("such a line")
}

#[tokio::test]
async fn stream_goes_on_after_the_last_event_that_was_read() {
    let (_directory, rig, control) = start(Limits::default()).await;
    let last = rig.journal().last();
    for _ in 0..3 {
        rig.journal().record("1-1", Event::Wink);
    }
    let header = format!("Last-Event-ID: {}\r\n", last + 1);
    let mut stream = follow(&control, "?after=0", &header).await;
    assert_eq!(
        line(&mut stream, "content-type: ").await,
        "text/event-stream"
    );
    assert_eq!(line(&mut stream, "id: ").await, (last + 2).to_string());
    assert_eq!(line(&mut stream, "event: ").await, "wink");
    assert_eq!(line(&mut stream, "id: ").await, (last + 3).to_string());
    rig.journal().record("1-7", Event::Wink);
    assert_eq!(line(&mut stream, "id: ").await, (last + 4).to_string());
    let data = line(&mut stream, "data: ").await;
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    assert_eq!(data["key"], "1-7");
    // Those of one key, from the start; and a number of an earlier process.
    let mut one = follow(&control, "?after=0&key=1-7", "").await;
    assert_eq!(line(&mut one, "id: ").await, (last + 4).to_string());
    let mut earlier = follow(&control, "", "Last-Event-ID: 99999\r\n").await;
    assert_eq!(line(&mut earlier, "id: ").await, "1");
}

#[tokio::test]
async fn reader_that_was_too_slow_is_told_what_it_missed() {
    let (_directory, rig, control) = start(Limits::default()).await;
    let last = rig.journal().last();
    for _ in 0..10_000 {
        rig.journal().record("1-1", Event::Wink);
    }
    let mut stream = follow(&control, "?after=0", "").await;
    assert_eq!(line(&mut stream, "event: ").await, "missed");
    let data = line(&mut stream, "data: ").await;
    assert_eq!(data, format!("{{\"missed\":{last}}}"));
    assert_eq!(line(&mut stream, "id: ").await, (last + 1).to_string());
}

#[tokio::test]
async fn silent_stream_sends_comments() {
    let limits = Limits {
        silence: SHORT,
        ..Limits::default()
    };
    let (_directory, _rig, control) = start(limits).await;
    let mut stream = follow(&control, "", "").await;
    line(&mut stream, ":").await;
}

#[tokio::test]
async fn connections_that_are_all_busy_stay_and_one_more_goes() {
    let limits = Limits {
        connections: 2,
        head: PATIENCE * 100,
        ..Limits::default()
    };
    let (_directory, _rig, control) = start(limits).await;
    let mut busy = [
        follow(&control, "", "").await,
        follow(&control, "", "").await,
    ];
    for stream in &mut busy {
        line(stream, "content-type: ").await;
    }
    let mut more = connect(&control).await;
    let _ = more.write_all(b"GET /v1/server HTTP/1.1\r\n").await; // it may have hung up
    assert_eq!(rest(&mut more).await, "");
    let [first, _second] = busy;
    drop(first);
    while !is_served(&control).await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn follower_that_reads_nothing_loses_its_connection_and_its_place() {
    let limits = Limits {
        waiting: 1,
        stuck: SHORT,
        ..Limits::default()
    };
    let (_directory, rig, control) = start(limits).await;
    // More than a socket keeps.
    for _ in 0..10_000 {
        rig.journal().record("1-1", Event::Wink);
    }
    let stuck = follow(&control, "?after=0", "").await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        assert!(tokio::time::Instant::now() < deadline, "it keeps its place");
        let mut stream = connect(&control).await;
        let request = b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        if &head == b"HTTP/1.1 200" {
            break;
        }
        assert_eq!(&head, b"HTTP/1.1 503");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(stuck);
}

#[tokio::test]
async fn changes_on_their_way_are_bounded() {
    let request = "POST /v1/keys HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                   Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    for (working, status) in [(1, "HTTP/1.1 201 "), (0, "HTTP/1.1 503 ")] {
        let limits = Limits {
            working,
            ..Limits::default()
        };
        let (_directory, _rig, control) = start(limits).await;
        // The place of one that is done is free.
        for _ in 0..2 {
            let mut stream = connect(&control).await;
            stream.write_all(request.as_bytes()).await.unwrap();
            let answer = rest(&mut stream).await;
            assert!(answer.starts_with(status), "{answer}");
        }
    }
}
