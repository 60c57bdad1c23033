//! Runs a program to its end or to a time limit, with its output in files.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Time between two checks of a program.
const LOOK: Duration = Duration::from_millis(20);
/// Time between the request to end and the kill.
const GRACE: Duration = Duration::from_secs(5);

/// A program that has ended.
pub struct Finished {
    /// `None` if it was ended at its limit.
    status: Option<ExitStatus>,
    pub stdout: String,
    stderr: String,
    pub seconds: f64,
}

impl Finished {
    /// Returns true if its exit status is a success.
    pub fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// Returns the JSON object that it printed.
    pub fn json(&self) -> Result<Value, String> {
        let object = self.stdout.find('{').map_or("", |start| &self.stdout[start..]);
        serde_json::from_str(object).map_err(|_| self.complaint())
    }

    /// Describes its end in a line.
    pub fn complaint(&self) -> String {
        let how = match self.status {
            None => format!("not done after {:.0} s", self.seconds),
            Some(status) => status.to_string(),
        };
        let lines: Vec<_> =
            self.stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        // A panic's message is on the line after its place in the source, and a backtrace may follow.
        let panic = lines.iter().position(|line| line.contains(" panicked at "));
        let why = match panic {
            Some(place) => lines.get(place + 1),
            None => lines.iter().rfind(|line| !line.starts_with("note: ")),
        };
        match why {
            Some(line) => format!("{how}: {}", line.chars().take(300).collect::<String>()),
            None => how,
        }
    }
}

/// Runs a program. Its output is kept in `log`.out and `log`.err.
pub fn run(mut command: Command, log: &Path, limit: Duration) -> Result<Finished, String> {
    let name = Path::new(command.get_program()).display().to_string();
    let wrong = |error: std::io::Error| format!("{name}: {error}");
    let file = |ending: &str| log.with_extension(ending);
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).map_err(wrong)?;
    }
    command.stdin(Stdio::null());
    command.stdout(File::create(file("out")).map_err(wrong)?);
    command.stderr(File::create(file("err")).map_err(wrong)?);
    let start = Instant::now();
    let mut child = command.spawn().map_err(wrong)?;
    let status = ended(&mut child, limit).map_err(wrong)?;
    let seconds = start.elapsed().as_secs_f64();
    // Programs print the names of devices and files, which need not be UTF-8.
    let read =
        |ending| fs::read(file(ending)).map(|all| String::from_utf8_lossy(&all).into_owned());
    let (stdout, stderr) = (read("out").map_err(wrong)?, read("err").map_err(wrong)?);
    Ok(Finished { status, stdout, stderr, seconds })
}

/// Waits for the end; at the limit, ends the program.
fn ended(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    let mut asked = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((!asked).then_some(status));
        }
        if start.elapsed() >= limit + GRACE {
            child.kill()?;
        } else if start.elapsed() >= limit && !asked {
            asked = true;
            // The standard library can only kill. A program that is asked to end can end its own children.
            let id = child.id().to_string();
            let _ = Command::new("kill").args(["-TERM", &id]).status();
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str, limit: f64) -> Finished {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, &folder.path().join("deep/log"), Duration::from_secs_f64(limit)).unwrap()
    }

    #[test]
    fn what_a_program_says_is_kept() {
        let run = shell("echo first; echo '{\"a\": 1}'; echo why >&2; exit 3", 60.0);
        assert!(!run.succeeded());
        assert_eq!(run.json().unwrap()["a"], 1);
        assert_eq!(run.complaint(), "exit status: 3: why");
        let panic = "thread 'main' panicked at x.rs:1:\nwhy\nnote: how\nstack backtrace:\n 0: x\n";
        assert_eq!(
            shell(&format!("printf \"{panic}\" >&2; exit 101"), 60.0).complaint(),
            "exit status: 101: why"
        );
        let run = shell("echo nothing", 60.0);
        assert!(run.succeeded() && run.json().is_err());
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let run = shell("echo before; exec sleep 60", 0.2);
        assert!(!run.succeeded() && run.seconds < 30.0);
        assert!(run.complaint().starts_with("not done after"), "{}", run.complaint());
        assert_eq!(run.stdout, "before\n");
    }
}
