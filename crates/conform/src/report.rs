//! The outcome of the checks, as a table and as JUnit's XML.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::Level;

/// One check.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub level: Level,
    pub name: &'static str,
    /// The fault of the verifier; `None` if it did right.
    pub fault: Option<String>,
    pub took: Duration,
}

/// All checks, in their order.
#[derive(Debug, Clone, Default)]
pub struct Report(pub Vec<Outcome>);

impl Report {
    pub fn faults(&self) -> usize {
        self.0
            .iter()
            .filter(|outcome| outcome.fault.is_some())
            .count()
    }

    /// The form that CI servers read.
    pub fn junit(&self) -> String {
        let cases: String = self.0.iter().map(Outcome::case).collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"revocation feed\" tests=\"{}\" failures=\"{}\">\n{cases}</testsuite>\n",
            self.0.len(),
            self.faults()
        )
    }
}

impl Outcome {
    fn case(&self) -> String {
        let fault = match &self.fault {
            Some(fault) => format!("<failure message=\"{}\"/>", escaped(fault)),
            None => String::new(),
        };
        format!(
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\">{fault}</testcase>\n",
            self.level,
            escaped(self.name),
            self.took.as_secs_f64()
        )
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let verdict = self.fault.as_ref().map_or("ok", |_| "FAULT");
        write!(
            f,
            "{:<8} {verdict:<5} {}",
            self.level.to_string(),
            self.name
        )?;
        match &self.fault {
            Some(fault) => write!(f, ": {fault}"),
            None => Ok(()),
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_in_the_table_and_in_the_xml_and_is_no_markup() {
        let outcome = |fault: Option<&str>| Outcome {
            level: Level::Tokens,
            name: "a \"page\"",
            fault: fault.map(str::to_owned),
            took: Duration::from_millis(1_500),
        };
        let report = Report(vec![outcome(None), outcome(Some("200 <and> not 401"))]);
        assert_eq!(report.faults(), 1);
        assert_eq!(
            report.0[1].to_string(),
            "tokens   FAULT a \"page\": 200 <and> not 401"
        );
        let junit = report.junit();
        assert!(junit.contains("tests=\"2\" failures=\"1\""), "{junit}");
        assert!(
            junit.contains("name=\"a &quot;page&quot;\" time=\"1.500\"><failure message=\"200 &lt;and> not 401\"/>"),
            "{junit}"
        );
    }
}
