//! The text inside a backup: cut, changed, or made by somebody else.

use std::sync::LazyLock;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::vault::backup::format::ReadError;

/// The same for every test: a vault has its records in an order that is drawn with its keys.
static LINES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let (_, store) = two_keys();
    let frozen = store.freeze().unwrap();
    let (bytes, _) = format::write(&frozen, 99, Vec::new()).ok().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    text.lines().map(str::to_owned).collect()
});

fn lines() -> Vec<String> {
    LINES.clone()
}

fn read(text: &[u8]) -> Result<u64, BackupError> {
    match format::read(text, |_, _| Ok(())) {
        Ok(totals) => Ok(totals.records),
        Err(ReadError::Backup(why)) => Err(why),
        Err(ReadError::Io(why)) => panic!("{why}"),
        Err(ReadError::Taker(why)) => panic!("{why}"),
    }
}

/// The lines with a last one that is right for them.
fn ended(lines: &[String]) -> Vec<u8> {
    let (last, lines) = lines.split_last().unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut end: Value = serde_json::from_str(last).unwrap();
    let digest = Sha256::digest(text.as_bytes());
    end["end"]["sha256"] = base16ct::lower::encode_string(&digest).into();
    format!("{text}{end}\n").into_bytes()
}

/// Puts another value at a place in a line, and reads the whole.
fn with(line: usize, pointer: &str, value: &Value) -> Result<u64, BackupError> {
    let mut lines = lines();
    let mut parsed: Value = serde_json::from_str(&lines[line]).unwrap();
    *parsed.pointer_mut(pointer).expect("it is there") = value.clone();
    lines[line] = parsed.to_string();
    read(&ended(&lines))
}

/// The first line that has this in it.
fn find(lines: &[String], part: &str) -> usize {
    let found = lines.iter().position(|line| line.contains(part));
    found.expect("a line with it")
}

#[test]
fn unchanged_lines_are_read_and_every_cut_is_noticed() {
    let lines = lines();
    assert_eq!(lines.len(), 1 + 2 + 14 + 1);
    let text = ended(&lines);
    assert_eq!(read(&text), Ok(14));
    for end in 0..text.len() {
        assert!(read(&text[..end]).is_err(), "{end}");
    }
    for line in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(line);
        assert!(read(&fewer.join("\n").into_bytes()).is_err(), "{line}");
    }
    // Lines that were exchanged, though each is as it was.
    let (one, two) = (find(&lines, "Counter"), find(&lines, "Master"));
    let mut exchanged = lines.clone();
    exchanged.swap(one, two);
    let text = format!("{}\n", exchanged.join("\n"));
    assert_eq!(read(text.as_bytes()), Err(BackupError::Incomplete));
    let text = format!("{}\n\n", lines.join("\n"));
    let why = "something stands behind the end";
    assert_eq!(
        read(text.as_bytes()),
        Err(BackupError::Line { number: 18, why })
    );
}

#[test]
fn later_version_is_refused_by_its_number() {
    assert_eq!(
        with(0, "/version", &json!(2)),
        Err(BackupError::Newer { version: 2 })
    );
    let newer = BackupError::Newer { version: 2 }.to_string();
    assert!(
        newer.contains("version 2") && newer.contains("knows 1"),
        "{newer}"
    );
    // Whatever else it says.
    let text = b"{\"format\":\"roamkey backup\",\"version\":9,\"what\":[]}\n";
    assert_eq!(read(text), Err(BackupError::Newer { version: 9 }));
    for other in [
        "",
        "\n",
        "{}\n",
        "hello\n",
        "{\"format\":\"x\",\"version\":1}\n",
    ] {
        assert_eq!(
            read(other.as_bytes()),
            Err(BackupError::NotABackup),
            "{other}"
        );
    }
}

#[test]
fn line_that_is_wrong_is_named_and_not_quoted() {
    let all = lines();
    let (key, pin) = (1, find(&all, "\"Pin\""));
    let (counter, passkey) = (find(&all, "Counter"), find(&all, "\"Credential\""));
    let cases = [
        (0, "/vault", json!("xy")),
        (0, "/keys", json!(20_000)),
        (0, "/keys", json!(-1)),
        (0, "/authority", json!("geheim")),
        (0, "/authority/private_key", json!({"hex": "geheim"})),
        (0, "/authority/certificate", json!(5)),
        (key, "/key/number", json!(0)),
        (key, "/key/number", json!(u64::MAX)),
        (key, "/key/number", json!(3)),
        (key, "/key/name", json!("geheim\n")),
        (key, "/key/name", json!("home")),
        (key, "/key/id", json!("geheim")),
        (key, "/key/serial", json!("geheim\u{7}")),
        (key, "/key/records", json!(u64::MAX)),
        (key, "/key/records", json!(2)),
        (key, "/key/profile", json!("geheim")),
        (pin, "/record/Pin/hash", json!({"hex": "geheim"})),
        (pin, "/record/Pin/hash", json!({"hex": "00"})),
        (pin, "/record/Pin/hash", json!("geheim")),
        (pin, "/record", json!({"Geheim": 1})),
        (pin, "/record", json!({"hex": "00"})),
        (pin, "/record/Pin/code_points", json!(1.5)),
        (counter, "/record", json!({"PinRetries": 5})),
        (passkey, "/record/Credential/algorithm", json!("Geheim")),
        (passkey, "/record/Credential/id", json!({"hex": "00"})),
    ];
    for (line, pointer, value) in cases {
        let why = with(line, pointer, &value).expect_err(pointer);
        let said = why.to_string();
        assert!(!said.to_lowercase().contains("geheim"), "{said}");
        let named = matches!(why, BackupError::Line { .. } | BackupError::Key { .. });
        assert!(named, "{pointer} {value}: {said}");
    }
    let mut twice = lines();
    twice[counter].clone_from(&all[pin]);
    assert!(matches!(
        read(&ended(&twice)),
        Err(BackupError::Line { .. })
    ));
    let mut deep = lines();
    deep[pin] = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(matches!(read(&ended(&deep)), Err(BackupError::Line { .. })));
}

#[test]
fn backup_of_before_there_were_authorities_is_read() {
    let mut lines = lines();
    let mut header: Value = serde_json::from_str(&lines[0]).unwrap();
    let removed = header.as_object_mut().unwrap().remove("authority");
    assert!(removed.is_some(), "it has one now");
    lines[0] = header.to_string();
    assert_eq!(read(&ended(&lines)), Ok(14));
    // One that was taken out of a backup is noticed.
    let text = format!("{}\n", lines.join("\n"));
    assert_eq!(read(text.as_bytes()), Err(BackupError::Incomplete));
}

#[test]
fn last_number_of_a_passkey_is_taken() {
    let passkey = find(&lines(), "\"Credential\"");
    let read = with(passkey, "/record/Credential/sequence", &json!(u64::MAX));
    assert_eq!(read, Ok(14));
}

#[test]
fn line_is_a_mebibyte_at_most() {
    let why = "it is longer than 1 MiB";
    let mut long = lines();
    long[3] = format!("{}{}", long[3], " ".repeat(1 << 20));
    assert_eq!(
        read(&ended(&long)),
        Err(BackupError::Line { number: 4, why })
    );
    let mut long = lines();
    long[3] = format!("{}{}", long[3], " ".repeat((1 << 20) - 1 - long[3].len()));
    assert_eq!(read(&ended(&long)), Ok(14));
    // An input without an end of a line, or an end.
    let endless = std::io::repeat(b'x');
    assert!(format::read(endless, |_, _| Ok(())).is_err());
}
