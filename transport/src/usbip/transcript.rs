//! Reads the transcripts in fixtures/usbip, for tests. Their README says what the lines mean.

/// One line of a transcript.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// `>`: the client sends it.
    Client(Vec<u8>),
    /// `<`: the client has to get it.
    Server(Vec<u8>),
    /// `=`: the key has this report ready.
    Report([u8; 64]),
}

pub(super) const LINUX: &str = include_str!("../../../fixtures/usbip/linux-attach.hex");
pub(super) const WIN2: &str = include_str!("../../../fixtures/usbip/usbip-win2-attach.hex");

pub(super) fn parse(text: &str) -> Vec<Line> {
    let mut units: Vec<String> = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        match units.last_mut() {
            Some(unit) if line.starts_with(' ') => unit.push_str(line),
            _ => units.push(line.to_owned()),
        }
    }
    units.iter().map(|unit| line(unit)).collect()
}

fn line(unit: &str) -> Line {
    let (kind, rest) = unit.split_at(1);
    let bytes = rest.split_whitespace().flat_map(word).collect::<Vec<_>>();
    match kind {
        ">" => Line::Client(bytes),
        "<" => Line::Server(bytes),
        "=" => Line::Report(bytes.try_into().unwrap()),
        other => panic!("a line begins with {other}"),
    }
}

fn word(word: &str) -> Vec<u8> {
    if let Some(count) = word.strip_prefix("00*") {
        return vec![0; count.parse().unwrap()];
    }
    let digits: Vec<u8> = word
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap())
        .collect();
    let (bytes, odd) = digits.as_chunks::<2>();
    assert!(odd.is_empty(), "half a byte: {word}");
    bytes.iter().map(|[high, low]| high << 4 | low).collect()
}
