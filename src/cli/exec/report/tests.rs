use super::*;

fn key(name: &str, spare: bool) -> ReadyKey {
    ReadyKey {
        name: name.to_owned(),
        bus_id: "1-1".to_owned(),
        serial: "AB".to_owned(),
        profile: "default".to_owned(),
        hidraw: Some("/dev/hidraw0".to_owned()),
        spare,
    }
}

fn run<'a>(
    place: Place,
    missed: &'a [Missed],
    keys: &'a [ReadyKey],
    contacts: &'a [Contact],
    recorded: &'a Recorded,
) -> Run<'a> {
    Run {
        place,
        missed,
        keys,
        contacts,
        recorded,
        fronts: false,
        notes: &[],
        program: OsStr::new("true"),
        started: 1,
        end: None,
    }
}

fn missed(backend: &'static str, why: &str) -> Missed {
    Missed {
        backend,
        why: why.to_owned(),
    }
}

#[test]
fn line_names_backend_keys_and_operations() {
    let better = [missed("usbip", "a"), missed("uhid", "b. And more: do c")];
    let keys = [
        key("default", false),
        key("bio", false),
        key("spare-1", true),
    ];
    let [default, bio, spare] = [0, 1, 2];
    let (used, opened, attached) = (Contact::Used, Contact::Opened, Contact::Attached);
    // The place, how many better ones were missed, keys and how far programs came, operations.
    let cases = [
        (
            (Place::Usbip, 0, vec![(default, used), (bio, used)], 14),
            "roamkey: usbip, 2 keys (default, bio), 14 operations",
        ),
        (
            (Place::Usbip, 0, vec![(default, used), (bio, attached)], 1),
            "roamkey: usbip, 2 keys (default, bio), 1 operation, no program ever contacted bio",
        ),
        (
            (
                Place::Usbip,
                0,
                vec![(default, used), (spare, attached)],
                14,
            ),
            "roamkey: usbip, 2 keys (default, spare-1), 14 operations",
        ),
        (
            (Place::Uhid, 1, vec![(default, attached)], 0),
            "roamkey: uhid (no usbip: a), 1 key, no program ever contacted it",
        ),
        (
            (Place::Uhid, 0, vec![(default, opened)], 0),
            "roamkey: uhid, 1 key, 0 operations",
        ),
        (
            (Place::Browser, 2, vec![], 0),
            "roamkey: browser (no usbip: a; no uhid: b): no device was there",
        ),
    ];
    for ((place, better_ones, with, operations), line) in cases {
        let (numbers, contacts): (Vec<usize>, Vec<_>) = with.into_iter().unzip();
        let keys: Vec<_> = numbers.into_iter().map(|at| keys[at].clone()).collect();
        let mut recorded = Recorded::default();
        recorded.operations = operations;
        let run = run(place, &better[..better_ones], &keys, &contacts, &recorded);
        assert_eq!(run.line(), line);
        assert_eq!(run.document()["text"], line);
    }
}

#[test]
fn document_of_a_run_that_nobody_contacted_says_so() {
    let keys = [key("default", false)];
    let recorded = Recorded::default();
    let contacts = [Contact::Attached];
    let mut run = run(Place::Uhid, &[], &keys, &contacts, &recorded);
    let document = run.document();
    assert_eq!(document["contacted"], false);
    assert_eq!(document["status"], Value::Null);
    let text = document["keys"][0]["contact_text"]
        .as_str()
        .expect("a text");
    assert!(
        text.starts_with("No browser has contacted the key default"),
        "{text}"
    );
    run.end = Some(End {
        status: 137,
        signal: Some(9),
        at: 2,
    });
    let document = run.document();
    assert_eq!(
        (&document["status"], &document["signal"]),
        (&json!(137), &json!(9))
    );
    assert_eq!(document["keys"][0]["hidraw"], "/dev/hidraw0");
}

#[test]
fn what_is_no_file_is_not_replaced() {
    let directory = std::env::temp_dir();
    assert!(ReportFile::wanted(Some(&directory)).is_err());
    let missing = directory.join("roamkey-nowhere").join("report.json");
    let file = ReportFile::wanted(Some(&missing))
        .expect("a path")
        .expect("wanted");
    assert!(file.write(&json!({})).is_err());
}
