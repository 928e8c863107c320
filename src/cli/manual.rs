//! `wxmint completions` and `wxmint man`: what the help says, in other forms.

use clap::Command;
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use super::{Failure, output::print};

pub(super) fn print_completions(shell: Shell, mut wxmint: Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(shell, &mut wxmint, "wxmint", &mut script);
    print(String::from_utf8_lossy(&script).trim_end());
    Ok(())
}

pub(super) fn print_page(words: &[String], wxmint: Command) -> Result<(), Failure> {
    let mut command = wxmint.disable_help_subcommand(true);
    command.build();
    for word in words {
        let known = command.find_subcommand(word).cloned();
        command = known.ok_or_else(|| Failure::usage(format_args!("{} has no command {word}", command.get_name())))?;
    }
    let mut page = Vec::new();
    Man::new(command).source(concat!("wxmint ", env!("CARGO_PKG_VERSION"))).render(&mut page)?;
    print(String::from_utf8_lossy(&page).trim_end());
    Ok(())
}
