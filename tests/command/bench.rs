//! `roamkey bench`: that it measures what it is asked to and says so. How fast anything is, is not
//! a test's to judge.

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;

use super::process::{command, end, run};

/// A directory in which nothing may be left.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let name = format!("roamkey-test-bench-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = command(&["bench", "--format", "json", "--directory"]);
        command.arg(&self.0).args(args);
        command
    }

    /// The rows, after that of the machine.
    fn rows(&self, args: &[&str]) -> Vec<Value> {
        let ended = end(&mut self.command(args));
        println!("{}{}", ended.stdout, ended.stderr);
        assert!(ended.status.success());
        let rows = ended.stdout.lines().map(serde_json::from_str);
        let mut rows: Vec<Value> = rows.collect::<Result<_, _>>().expect("a row a line");
        let machine = rows.remove(0);
        assert_eq!(machine["row"], "machine");
        assert_eq!(machine["version"], env!("CARGO_PKG_VERSION"));
        assert!(machine["cores"].as_u64() >= Some(1));
        assert_eq!(machine["date"].as_str().map(str::len), Some(10));
        // A figure of a debug build is not to be taken for one that people get.
        let build = machine["build"].as_str().expect("a build");
        assert_eq!(build == "debug", ended.stderr.contains("debug build"));
        assert_eq!(build == "debug", cfg!(debug_assertions));
        let left = fs::read_dir(&self.0).expect("a directory").count();
        assert_eq!(left, 0, "something is left behind");
        rows
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // the system's temporary files are its own
    }
}

fn check_percentiles(of: &Value, least: f64) {
    let figures = ["p50_us", "p90_us", "p99_us", "max_us"];
    let figures = figures.map(|name| of[name].as_f64().expect(name));
    assert!(figures[0] >= least, "{of}");
    assert!(figures.is_sorted(), "{of}");
}

fn names<'a>(rows: &'a [Value], member: &str) -> Vec<&'a str> {
    rows.iter().filter_map(|row| row[member].as_str()).collect()
}

const OPERATIONS: [&str; 4] = ["PING", "getInfo", "makeCredential", "getAssertion"];

#[test]
fn key_over_usbip_is_measured_beside_its_floor() {
    let place = Place::new("usbip");
    let rows = place.rows(&["usbip", "--operations", "3"]);
    let (disk, rows) = rows.split_last().expect("rows");
    let more = ["getInfo beside RSA", "durable passkey"];
    assert_eq!(names(rows, "operation"), [&OPERATIONS[..], &more].concat());
    for row in rows {
        assert_eq!(row["row"], "usbip");
        let operations = row["operations"].as_u64().expect("a count");
        // Those beside RSA last as long as that does.
        let beside = row["operation"] == more[0];
        assert!(operations == 3 || beside && operations > 0, "{row}");
        check_percentiles(row, f64::MIN_POSITIVE);
        check_percentiles(&row["floor"], f64::MIN_POSITIVE);
        for ratio in ["ratio_p50", "ratio_p99"] {
            assert!(row[ratio].as_f64() > Some(0.0), "{row}");
        }
    }
    assert_eq!(rows[0]["round_trips"], 1);
    assert!(rows[3]["round_trips"].as_u64() > Some(4));
    assert_eq!(disk["row"], "disk");
    check_percentiles(&disk["sync"], f64::MIN_POSITIVE);
    check_percentiles(&disk["redb_commit"], f64::MIN_POSITIVE);
}

#[test]
fn key_without_sockets_is_measured_on_one_core_and_on_all() {
    let place = Place::new("in-process");
    let rows = place.rows(&["in-process", "--operations", "4"]);
    let (rows, scaling) = rows.split_at(8);
    assert_eq!(names(rows, "operation"), [OPERATIONS; 2].concat());
    for row in rows {
        assert_eq!(row["row"], "in-process");
        assert_eq!(row["operations"], 4);
        check_percentiles(row, f64::MIN_POSITIVE);
        check_percentiles(&row["floor"], 0.0);
        let over = row["over_floor_p50_us"].as_f64().expect("a figure");
        let [real, floor] = [row, &row["floor"]].map(|of| of["p50_us"].as_f64().expect("one"));
        assert!((over - (real - floor)).abs() < 0.01, "{row}");
    }
    assert_eq!(scaling[0]["threads"], 1);
    for row in scaling {
        assert_eq!(row["row"], "in-process-scaling");
        assert_eq!(row["operations"], 4);
        assert!(row["assertions_per_s"].as_f64() > Some(0.0));
        assert!(row["bare_signatures_scaling"].as_f64() > Some(0.0));
    }
}

#[test]
fn many_keys_are_attached_and_work_at_once() {
    let place = Place::new("keys");
    let rows = place.rows(&["keys", "--keys", "300", "--operations", "2", "--idle", "1"]);
    let [row] = &rows[..] else {
        panic!("one row is wanted");
    };
    assert_eq!(row["row"], "keys");
    assert_eq!(row["keys"], 300);
    assert_eq!(row["working_keys"], 100);
    assert_eq!(row["operations"], 200);
    assert_eq!(row["idle_s"], 1);
    check_percentiles(row, f64::MIN_POSITIVE);
    assert!(row["ratio_p99_p50"].as_f64() >= Some(1.0));
    assert!(row["operations_per_s"].as_f64() > Some(0.0));
    let on_linux = cfg!(target_os = "linux");
    for member in [
        "memory_bytes",
        "memory_of_one_bytes",
        "memory_per_key_bytes",
    ] {
        assert_eq!(row[member].is_u64(), on_linux, "{row}");
    }
    // Memory is counted, not timed.
    let each = row["memory_per_key_bytes"].as_u64();
    assert!(each.is_none_or(|bytes| bytes < 64 * 1_024), "{row}");
    for member in ["idle_cpu_percent", "cpu_per_operation_us"] {
        assert_eq!(row[member].is_f64(), on_linux, "{row}");
    }
}

#[test]
fn start_with_passkeys_is_measured_beside_a_bare_start() {
    let place = Place::new("start");
    let rows = place.rows(&["start", "--operations", "2", "--passkeys", "5"]);
    let [row] = &rows[..] else {
        panic!("one row is wanted");
    };
    assert_eq!(row["row"], "start");
    assert_eq!((&row["starts"], &row["passkeys"]), (&2.into(), &5.into()));
    check_percentiles(row, f64::MIN_POSITIVE);
    check_percentiles(&row["floor"], f64::MIN_POSITIVE);
}

#[test]
fn person_reads_tables_that_fit_80_columns() {
    let place = Place::new("text");
    let mut command = command(&["bench", "usbip", "in-process", "keys", "start"]);
    command.args([
        "--keys",
        "2",
        "--operations",
        "2",
        "--passkeys",
        "1",
        "--idle",
        "1",
    ]);
    let ended = end(command.arg("--directory").arg(&place.0));
    println!("{}{}", ended.stdout, ended.stderr);
    assert!(ended.status.success());
    for part in [
        "roamkey",
        "One key over USB/IP",
        "durable passkey",
        "state machine",
        "THREADS",
        "Many keys in one process",
        "roamkey --version",
    ] {
        assert!(ended.stdout.contains(part), "{part}");
    }
    let widest = ended.stdout.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{widest:?}");
}

#[test]
fn arguments_that_measure_nothing_are_refused() {
    for args in [
        &["bench", "nothing"][..],
        &["bench", "--keys", "0"],
        &["bench", "--keys", "10001"],
        &["bench", "--operations", "0"],
        &["bench", "--workers", "0"],
        &["bench", "--idle", "0"],
        &["bench", "--format", "xml"],
    ] {
        let ended = run(args);
        assert_eq!(ended.status.code(), Some(2), "{args:?}");
        assert!(ended.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn place_that_is_none_is_named() {
    let ended = run(&["bench", "start", "--directory", "/nonexistent/place"]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        ended.stderr.contains("/nonexistent/place"),
        "{}",
        ended.stderr
    );
}

/// Neither a server nor a directory outlives it.
#[cfg(target_os = "linux")]
#[test]
fn interrupted_measurement_leaves_nothing_behind() {
    use std::{thread, time::Duration};

    use super::process::Process;

    /// The processes that this one has started.
    fn children(process: u32) -> Vec<u32> {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter();
        let of_task = |task: fs::DirEntry| {
            let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let numbers = text.split_whitespace().map(str::parse);
            numbers.filter_map(Result::ok).collect::<Vec<u32>>()
        };
        tasks.flatten().flatten().flat_map(of_task).collect()
    }

    let place = Place::new("interrupted");
    let process = Process::spawn(place.command(&["keys", "--keys", "2", "--idle", "600"]));
    assert_eq!(process.event()["row"], "machine");
    let mut servers = Vec::new();
    for _ in 0..2_000 {
        servers = children(process.id());
        if !servers.is_empty() {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(servers.len(), 1, "a server is started");
    let ended = process.signal("-INT");
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("interrupted"), "{}", ended.stderr);
    for server in servers {
        assert!(!fs::exists(format!("/proc/{server}")).expect("proc"));
    }
    assert_eq!(fs::read_dir(&place.0).expect("a directory").count(), 0);
}
