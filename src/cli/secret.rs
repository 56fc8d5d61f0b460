//! How the command line gets secrets: typed on the terminal without an echo, or from a file.
//!
//! A secret is never an argument: every user of a machine can read those. The terminal is the
//! controlling one, so that stdin and stdout may be pipes. Deliberately absent: a rule for PINs,
//! which the key itself judges; and Unicode normalization, so that what counts is what was typed.

use std::{
    fs::File,
    io::{self, BufRead, Read},
    path::Path,
};

use zeroize::Zeroizing;

use super::Failure;
use crate::vault::unlock::{Passphrase, RecoveryCode};

/// Longer secrets are not secrets but the wrong file. In bytes, with the end of the line.
const LONGEST: usize = 4096;
/// How often a slip at the terminal may be made good.
const ATTEMPTS: usize = 3;

/// Where a secret may come from when nobody types it.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// The option that names the file, for messages: `--passphrase-file`.
    pub(super) option: &'static str,
    /// What the option says; `-` is a line of stdin.
    pub(super) file: Option<&'a Path>,
}

/// A passphrase to open something with.
pub(super) fn passphrase(prompt: &str, source: Source<'_>) -> Result<Passphrase, Failure> {
    let secret = given("passphrase", prompt, source, &mut type_in)?;
    Ok(Passphrase::new(secret))
}

/// A passphrase for something new: typed twice, and long enough.
pub(super) fn new_passphrase(prompt: &str, source: Source<'_>) -> Result<Passphrase, Failure> {
    let check = |secret: &Zeroizing<String>| {
        Passphrase::new(secret.clone())
            .check_new()
            .map_err(|why| why.to_string())
    };
    let secret = made_up("passphrase", prompt, source, check, &mut type_in)?;
    Ok(Passphrase::new(secret))
}

/// A recovery code. At the terminal a typing error may be made good.
pub(super) fn recovery_code(prompt: &str, source: Source<'_>) -> Result<RecoveryCode, Failure> {
    code(prompt, source, &mut type_in)
}

/// The PIN that a key has.
pub(super) fn pin(prompt: &str, source: Source<'_>) -> Result<Zeroizing<String>, Failure> {
    given("PIN", prompt, source, &mut type_in)
}

/// A new PIN: typed twice.
pub(super) fn new_pin(prompt: &str, source: Source<'_>) -> Result<Zeroizing<String>, Failure> {
    made_up("PIN", prompt, source, |_| Ok(()), &mut type_in)
}

/// What a control plane wants to be shown. Nobody types it.
pub(super) fn token(source: Source<'_>) -> Result<Zeroizing<String>, Failure> {
    given("token", "Token: ", source, &mut type_in)
}

/// Shows a prompt on the terminal and reads a line without an echo.
type TypeIn<'a> = &'a mut dyn FnMut(&str) -> io::Result<String>;

/// Where nothing catches SIGINT, Ctrl-C ends the process in here with the echo still off (rpassword
/// 7.5); interactive bash, zsh and fish turn it on again, as after any program that a signal ended.
fn type_in(prompt: &str) -> io::Result<String> {
    rpassword::prompt_password(prompt)
}

/// Why an attempt at the terminal was none.
enum Slip {
    /// The text says why; the person may try again.
    Again(String),
    /// Trying again does not help.
    Final(Failure),
}

impl From<Failure> for Slip {
    fn from(failure: Failure) -> Self {
        Self::Final(failure)
    }
}

/// The secret from the file, or as it is typed.
fn given(
    what: &str,
    prompt: &str,
    source: Source<'_>,
    type_in: TypeIn<'_>,
) -> Result<Zeroizing<String>, Failure> {
    match source.file {
        Some(file) => from_file(what, source.option, file),
        None => attempts(prompt, |prompt| {
            let secret = typed(what, prompt, source.option, type_in)?;
            match secret.is_empty() {
                true => Err(Slip::Again(format!("the {what} is empty: type it"))),
                false => Ok(secret),
            }
        }),
    }
}

/// The secret from the file, or as it is typed twice. `check` says what it lacks.
fn made_up(
    what: &str,
    prompt: &str,
    source: Source<'_>,
    check: impl Fn(&Zeroizing<String>) -> Result<(), String>,
    type_in: TypeIn<'_>,
) -> Result<Zeroizing<String>, Failure> {
    if let Some(file) = source.file {
        let secret = from_file(what, source.option, file)?;
        return match check(&secret) {
            Ok(()) => Ok(secret),
            Err(why) => Err(Failure::failed(source.option, why)),
        };
    }
    attempts(prompt, |prompt| {
        let secret = typed(what, prompt, source.option, type_in)?;
        if secret.is_empty() {
            return Err(Slip::Again(format!("the {what} is empty: type one")));
        }
        check(&secret).map_err(Slip::Again)?;
        let again = typed(
            what,
            &format!("The same {what} again: "),
            source.option,
            type_in,
        )?;
        if secret == again {
            Ok(secret)
        } else {
            Err(Slip::Again(format!(
                "the two are different: type the {what} again"
            )))
        }
    })
}

fn code(prompt: &str, source: Source<'_>, type_in: TypeIn<'_>) -> Result<RecoveryCode, Failure> {
    const WHAT: &str = "recovery code";
    match source.file {
        Some(file) => {
            let text = from_file(WHAT, source.option, file)?;
            RecoveryCode::parse(&text).map_err(|why| Failure::failed(source.option, why))
        }
        None => attempts(prompt, |prompt| {
            let text = typed(WHAT, prompt, source.option, type_in)?;
            RecoveryCode::parse(&text).map_err(|why| Slip::Again(why.to_string()))
        }),
    }
}

/// Asks again after a slip, with what was wrong in front of the prompt.
fn attempts<T>(
    prompt: &str,
    mut attempt: impl FnMut(&str) -> Result<T, Slip>,
) -> Result<T, Failure> {
    let mut wrong = String::new();
    for _ in 0..ATTEMPTS {
        let shown = match wrong.as_str() {
            "" => prompt.to_owned(),
            wrong => format!("{wrong}\n{prompt}"),
        };
        match attempt(&shown) {
            Ok(done) => return Ok(done),
            Err(Slip::Again(why)) => wrong = why,
            Err(Slip::Final(failure)) => return Err(failure),
        }
    }
    Err(Failure::Failed(wrong))
}

fn typed(
    what: &str,
    prompt: &str,
    option: &str,
    type_in: TypeIn<'_>,
) -> Result<Zeroizing<String>, Failure> {
    type_in(prompt).map(Zeroizing::new).map_err(|why| {
        // Ctrl-C and Ctrl-D: somebody is there, and does not want to.
        if why.kind() == io::ErrorKind::Interrupted || why.kind() == io::ErrorKind::UnexpectedEof {
            return Failure::Failed(format!("no {what} was typed"));
        }
        Failure::Usage(format!(
            "there is no terminal to type the {what} on ({why}): say {option} FILE to read it \
             from a file, {option} - to read it from stdin"
        ))
    })
}

/// All lines of a file with secrets in it, such as age identities.
pub(super) fn lines(what: &str, source: Source<'_>) -> Result<Zeroizing<String>, Failure> {
    let Some(file) = source.file else {
        return Err(Failure::Usage(format!("{} FILE is wanted", source.option)));
    };
    let name = || format!("{} {}", source.option, file.display());
    let read = if file == Path::new("-") {
        all_of(io::stdin().lock())
    } else {
        File::open(file).and_then(all_of)
    };
    let bytes = read.map_err(|why| Failure::failed(name(), why))?;
    match str::from_utf8(&bytes) {
        Ok(text) if bytes.len() <= LONGEST => Ok(Zeroizing::new(text.to_owned())),
        Ok(_) | Err(_) => Err(Failure::failed(name(), format!("there is no {what} in it"))),
    }
}

fn from_file(what: &str, option: &str, file: &Path) -> Result<Zeroizing<String>, Failure> {
    let read = if file == Path::new("-") {
        // Only a line is taken, so that another option may have the next one.
        line_of(&mut io::stdin().lock())
    } else {
        File::open(file).and_then(all_of)
    };
    let name = || format!("{option} {}", file.display());
    let bytes = read.map_err(|why| Failure::failed(name(), why))?;
    let secret = secret_in(what, &bytes).map_err(|why| Failure::failed(name(), why))?;
    Ok(Zeroizing::new(secret.to_owned()))
}

/// A line with its end; one byte more than the longest there may be shows that it is longer.
fn line_of(input: &mut impl BufRead) -> io::Result<Zeroizing<Vec<u8>>> {
    // All its room at once: bytes that moved would leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    input
        .take(LONGEST as u64 + 1)
        .read_until(b'\n', &mut bytes)?;
    Ok(bytes)
}

fn all_of(file: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    file.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The one line without its end, or what is wrong with it.
fn secret_in<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a str, String> {
    if bytes.len() > LONGEST {
        return Err(format!(
            "it is longer than {LONGEST} bytes, so it is no {what}"
        ));
    }
    let text =
        str::from_utf8(bytes).map_err(|_| format!("it is not UTF-8 text, so it is no {what}"))?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(format!("it is empty: write the {what} into its only line"));
    }
    if line.contains(['\n', '\r']) {
        return Err(format!(
            "it has several lines: the {what} alone is wanted in it"
        ));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::PathBuf, process};

    use super::*;

    const OPTION: &str = "--secret-file";
    const TERMINAL: Source<'_> = Source {
        option: OPTION,
        file: None,
    };

    /// A terminal at which these lines are typed; it keeps the prompts.
    struct Typist {
        lines: Vec<io::Result<String>>,
        prompts: Vec<String>,
    }

    impl Typist {
        fn of(lines: &[&str]) -> Self {
            Self {
                lines: lines.iter().rev().map(|line| Ok((*line).into())).collect(),
                prompts: Vec::new(),
            }
        }

        fn failing(kind: io::ErrorKind) -> Self {
            Self {
                lines: vec![Err(kind.into())],
                prompts: Vec::new(),
            }
        }

        fn run<T>(&mut self, work: impl FnOnce(TypeIn<'_>) -> T) -> T {
            work(&mut |prompt| {
                self.prompts.push(prompt.into());
                self.lines.pop().expect("no more prompts")
            })
        }
    }

    fn text<T>(result: Result<T, Failure>) -> String {
        match result {
            Ok(_) => panic!("it is accepted"),
            Err(Failure::Usage(text)) => format!("usage: {text}"),
            Err(Failure::Failed(text)) => text,
        }
    }

    fn eight(secret: &Zeroizing<String>) -> Result<(), String> {
        match secret.len() {
            8.. => Ok(()),
            _ => Err("too short".into()),
        }
    }

    /// A file that is gone with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, bytes: &[u8]) -> Self {
            let name = format!("roamkey-secret-{}-{name}", process::id());
            let path = env::temp_dir().join(name);
            fs::write(&path, bytes).expect("a file");
            Self(path)
        }

        fn source(&self) -> Source<'_> {
            Source {
                option: OPTION,
                file: Some(&self.0),
            }
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn file_gives_its_only_line() {
        for (name, bytes) in [
            ("bare", "pass word é"),
            ("unix", "pass word é\n"),
            ("windows", "pass word é\r\n"),
        ] {
            let file = Scratch::new(name, bytes.as_bytes());
            let secret = pin("PIN: ", file.source()).expect("a secret");
            assert_eq!(*secret, "pass word é", "{name}");
            assert!(new_pin("PIN: ", file.source()).is_ok());
            assert!(passphrase("Passphrase: ", file.source()).is_ok());
            assert!(new_passphrase("Passphrase: ", file.source()).is_ok());
        }
    }

    #[test]
    fn file_that_is_no_secret_says_why_and_keeps_it_to_itself() {
        let long = "geheim".repeat(1000);
        let cases: [(&str, &[u8], &str); 6] = [
            ("empty", b"", "is empty"),
            ("end", b"\n", "is empty"),
            ("lines", b"geheim1\ngeheim2\n", "several lines"),
            ("return", b"geheim1\rgeheim2\n", "several lines"),
            ("binary", b"geheim\xff\n", "not UTF-8"),
            ("long", long.as_bytes(), "longer than 4096 bytes"),
        ];
        for (name, bytes, said) in cases {
            let file = Scratch::new(name, bytes);
            let error = text(pin("PIN: ", file.source()));
            assert!(error.contains(said), "{name}: {error}");
            assert!(
                error.contains(OPTION) && !error.contains("geheim"),
                "{error}"
            );
        }
        let source = Source {
            option: OPTION,
            file: Some(Path::new("/nowhere/at/all")),
        };
        let error = text(pin("PIN: ", source));
        assert!(error.contains("--secret-file /nowhere/at/all: "), "{error}");
    }

    #[test]
    fn new_passphrase_in_a_file_has_eight_characters() {
        let file = Scratch::new("short", b"geheim\n");
        let error = text(new_passphrase("Passphrase: ", file.source()));
        assert!(
            error.contains("8 characters") && !error.contains("geheim"),
            "{error}"
        );
    }

    #[test]
    fn stdin_gives_a_line_at_a_time() {
        let mut input = io::Cursor::new(b"first\nsecond\r\n");
        for wanted in ["first", "second"] {
            let line = line_of(&mut input).expect("a line");
            assert_eq!(secret_in("PIN", &line), Ok(wanted));
        }
        let line = line_of(&mut input).expect("a line");
        assert!(secret_in("PIN", &line).is_err());
        let endless = &mut io::BufReader::new(io::repeat(b'x'));
        let line = line_of(endless).expect("bytes");
        assert!(secret_in("PIN", &line).is_err());
    }

    #[test]
    fn new_secret_is_typed_twice() {
        let mut typist = Typist::of(&["12345678", "12345678"]);
        let secret = typist.run(|t| made_up("PIN", "New PIN: ", TERMINAL, eight, t));
        assert_eq!(*secret.expect("a secret"), "12345678");
        assert_eq!(typist.prompts, ["New PIN: ", "The same PIN again: "]);
    }

    #[test]
    fn slip_at_the_terminal_may_be_made_good_twice() {
        let mut typist = Typist::of(&["", "short", "12345678", "12345679"]);
        let error = text(typist.run(|t| made_up("PIN", "New PIN: ", TERMINAL, eight, t)));
        assert!(error.contains("different"), "{error}");
        assert_eq!(
            typist.prompts,
            [
                "New PIN: ",
                "the PIN is empty: type one\nNew PIN: ",
                "too short\nNew PIN: ",
                "The same PIN again: "
            ]
        );

        let mut typist = Typist::of(&["", "1234"]);
        let secret = typist.run(|t| given("PIN", "PIN: ", TERMINAL, t));
        assert_eq!(*secret.expect("a secret"), "1234");
    }

    #[test]
    fn typing_error_in_a_recovery_code_is_told_before_anything_is_tried() {
        let wanted = RecoveryCode::random().expect("randomness").to_string();
        let short = wanted.split_at(1).1;
        let mut typist = Typist::of(&[short, &wanted]);
        let read = typist.run(|t| code("Recovery code: ", TERMINAL, t));
        assert_eq!(read.expect("a code").to_string(), wanted);
        assert!(
            typist.prompts[1].contains("27 were typed"),
            "{:?}",
            typist.prompts
        );

        let file = Scratch::new("code", format!("{wanted}\n").as_bytes());
        let read = recovery_code("Recovery code: ", file.source());
        assert_eq!(read.expect("a code").to_string(), wanted);
        let file = Scratch::new("slip", short.as_bytes());
        let error = text(recovery_code("Recovery code: ", file.source()));
        assert!(error.contains(OPTION) && !error.contains(short), "{error}");
    }

    #[test]
    fn without_a_terminal_the_option_is_named() {
        let mut typist = Typist::failing(io::ErrorKind::NotFound);
        let error = text(typist.run(|t| given("passphrase", "Passphrase: ", TERMINAL, t)));
        assert!(error.starts_with("usage: there is no terminal"), "{error}");
        assert!(error.contains("--secret-file FILE"), "{error}");

        let mut typist = Typist::failing(io::ErrorKind::Interrupted);
        let error = text(typist.run(|t| given("passphrase", "Passphrase: ", TERMINAL, t)));
        assert_eq!(error, "no passphrase was typed");
    }
}
