//! Every case of `cases/*.json` renders to what Go 1.26 with Sprig 3.3.0 made of it.
//!
//! A file holds the data of its cases and the cases: name, template, data of their own where they have some, and the text
//! that is wanted, or `want_error`. Where this crate departs from Go on purpose, `differs` says why and what Go does.

#![expect(clippy::unwrap_used, reason = "a helper that fails has failed its test")]

use serde::Deserialize;
use serde_json::Value as Json;
use tink_template::{Data, render};
use tink_workflow::Limits;

#[derive(Deserialize)]
struct Table {
    data: Json,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    template: String,
    #[serde(default, deserialize_with = "present")]
    data: Option<Json>,
    want: Option<String>,
    #[serde(default)]
    want_error: bool,
    differs: Option<String>,
}

/// Keeps `"data": null` apart from no data.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

/// The cases of all files that do not give what is wanted, and how many cases there are.
fn failures() -> (Vec<String>, usize) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let (mut failures, mut count) = (Vec::new(), 0);
    for path in paths {
        let table: Table = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let family = path.file_stem().unwrap().to_string_lossy().into_owned();
        for case in table.cases {
            count += 1;
            let data = Data::bare(case.data.unwrap_or_else(|| table.data.clone())).at(1_600_000_000);
            let got = render(&case.template, &data, &Limits::default());
            let right = match (&got, &case.want) {
                (Ok(rendered), Some(want)) => rendered.text == *want,
                (Err(_), None) => case.want_error,
                _ => false,
            };
            if !right {
                let got = got.map_or_else(|error| format!("error: {error}"), |rendered| format!("{:?}", rendered.text));
                let want = case.want.map_or_else(|| "an error".to_owned(), |want| format!("{want:?}"));
                let differs = case.differs.map_or_else(String::new, |why| format!("\n  note     {why}"));
                failures.push(format!(
                    "{family}: {}\n  template {:?}\n  got      {got}\n  want     {want}{differs}",
                    case.name, case.template
                ));
            }
        }
    }
    (failures, count)
}

#[test]
fn every_case_gives_what_go_gives() {
    let (failures, count) = failures();
    assert!(count >= 300, "only {count} cases were found");
    assert!(failures.is_empty(), "{} of {count} cases fail:\n{}", failures.len(), failures.join("\n"));
    println!("{count} cases");
}
