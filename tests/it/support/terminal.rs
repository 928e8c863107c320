//! A terminal with a command of wxmint at it.

use std::io::{BufReader, Read, Write};
use std::process::{Child, Command};
use std::{fs::File, path::Path, sync::mpsc, thread};

use rustix::process::{Pid, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use super::{PATIENCE, Signal, WXMINT, eventually, until};

pub(crate) struct Terminal {
    keyboard: File,
    shown: mpsc::Receiver<u8>,
    so_far: Vec<u8>,
    child: Child,
}

impl Terminal {
    pub(crate) fn of(words: &[&str], folder: &Path) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a terminal");
        grantpt(&keyboard)
            .and_then(|()| unlockpt(&keyboard))
            .expect("a terminal");
        let name = ptsname(&keyboard, Vec::new())
            .expect("its name")
            .into_string()
            .expect("ASCII");
        let open = || {
            File::options()
                .read(true)
                .write(true)
                .open(&name)
                .expect("the other side")
        };
        // setsid(1) makes it the terminal of wxmint, which opens /dev/tty. Whoever starts the tests in the background
        // of a shell has them ignore Ctrl-C, which wxmint would inherit.
        let mut command = Command::new("env");
        command
            .args(["--default-signal", "setsid", "--ctty", "--wait", WXMINT])
            .args(words);
        command.env_clear().current_dir(folder);
        let child = command
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .expect("setsid of util-linux");
        let keyboard = File::from(keyboard);
        let (seen, shown) = mpsc::channel();
        let screen = BufReader::new(keyboard.try_clone().expect("a file"));
        thread::spawn(move || {
            screen
                .bytes()
                .map_while(Result::ok)
                .try_for_each(|byte| seen.send(byte))
        });
        Self {
            keyboard,
            shown,
            so_far: Vec::new(),
            child,
        }
    }

    fn screen(&mut self) -> String {
        self.so_far.extend(self.shown.try_iter());
        String::from_utf8_lossy(&self.so_far).into_owned()
    }

    /// Whether it shows what is typed.
    pub(crate) fn shows(&self) -> bool {
        tcgetattr(&self.keyboard)
            .expect("a terminal")
            .local_modes
            .contains(LocalModes::ECHO)
    }

    /// Types when asked, and not before what is typed is shown, or no longer shown.
    pub(crate) async fn answer(&mut self, question: &str, is_shown: bool, typed: &str) {
        until(question, PATIENCE, async || {
            self.screen().contains(question) && self.shows() == is_shown
        })
        .await;
        self.keyboard
            .write_all(typed.as_bytes())
            .expect("a terminal");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal)
            .expect("a process that has not been waited for");
    }

    /// Its exit code once it has ended, and all that was shown, to these words.
    pub(crate) async fn end(&mut self, last: &str) -> (Option<i32>, String) {
        let status = eventually("the end", PATIENCE, async || {
            self.child.try_wait().expect("our child")
        })
        .await;
        until(last, PATIENCE, async || self.screen().contains(last)).await;
        (status.code(), self.screen())
    }
}
