//! No template takes the process down or runs for ever: each of these ends with a clear error, or within its bounds.

use tink_template::{Data, RenderError, check_syntax, render};
use tink_workflow::Limits;

fn rendered(template: &str) -> Result<String, RenderError> {
    render(template, &Data::bare(serde_json::json!({"a": {"b": 1}})), &Limits::default()).map(|rendered| rendered.text)
}

fn is_limit(template: &str) -> bool {
    matches!(rendered(template), Err(RenderError::LimitReached { .. }))
}

#[test]
fn a_template_that_calls_itself_is_stopped() {
    assert!(is_limit(r#"{{define "x"}}{{template "x"}}{{end}}{{template "x"}}"#));
    assert!(is_limit(
        r#"{{define "x"}}{{if true}}{{template "y" .}}{{end}}{{end}}{{define "y"}}{{with .}}{{template "x" .}}{{end}}{{end}}{{template "x" .}}"#
    ));
    assert!(is_limit(r#"{{template "workflow-template"}}"#));
}

#[test]
fn nesting_in_the_source_is_bounded() {
    let deep = |open: &str, shut: &str| format!("{}1{}", open.repeat(5000), shut.repeat(5000));
    for template in [
        format!("{{{{{}}}}}", deep("(", ")")),
        format!("{{{{{}}}}}", deep("(print ", ")")),
        deep("{{if true}}", "{{end}}"),
        deep("{{range .}}", "{{end}}"),
        deep("{{with .}}", "{{end}}"),
        format!("{{{{if false}}}}{}", "{{else if true}}".repeat(9000)),
        deep(r#"{{block "x" .}}"#, "{{end}}"),
        "{{(".repeat(5000),
        "{{define \"x\"}}".repeat(5000),
    ] {
        assert!(matches!(rendered(&template), Err(RenderError::Syntax { .. })));
    }
}

#[test]
fn the_deepest_allowed_nesting_renders() {
    for template in [
        format!("{{{{{}1{}}}}}", "(".repeat(90), ")".repeat(90)),
        format!("{}1{}", "{{if true}}".repeat(90), "{{end}}".repeat(90)),
    ] {
        assert_eq!(rendered(&template).unwrap(), "1");
    }
}

#[test]
fn loops_end() {
    assert!(is_limit("{{range 9223372036854775807}}{{end}}"));
    assert!(is_limit("{{range until 3000}}{{range until 3000}}{{end}}{{end}}"));
    assert!(is_limit("{{until 9223372036854775807}}"));
    assert!(is_limit("{{untilStep 0 9223372036854775807 1}}"));
    assert!(is_limit("{{seq 999999999999}}"));
    assert!(is_limit(
        r#"{{range 100000}}{{$x := regexMatch "(a+)+$" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"}}{{end}}"#
    ));
    assert!(is_limit(r#"{{range 1000}}{{$x := bcrypt "a"}}{{end}}"#));
}

#[test]
fn text_and_lists_cannot_grow_without_end() {
    assert!(is_limit(r#"{{repeat 99999999999 "x"}}"#));
    assert!(is_limit(r#"{{indent 99999999999 "x"}}"#));
    assert!(is_limit(r#"{{$s := "x"}}{{range 60}}{{$s = print $s $s}}{{end}}"#));
    assert!(is_limit(r#"{{$s := repeat 1000 "x"}}{{range 60}}{{$s = replace "x" "xx" $s}}{{end}}"#));
    assert!(is_limit(r#"{{$s := repeat 1000 "x"}}{{range 60}}{{$s = regexReplaceAll "x" $s "xx"}}{{end}}"#));
    assert!(is_limit("{{$l := list 1}}{{range 60}}{{$l = concat $l $l}}{{end}}"));
    assert!(is_limit("{{$l := list 1}}{{range 60}}{{$l = list $l $l}}{{end}}{{$l}}"));
    assert!(is_limit("{{$l := list 1}}{{range 60}}{{$l = list $l $l}}{{end}}{{toJson $l}}"));
    assert!(is_limit("{{$l := list 1}}{{range 60}}{{$l = list $l $l}}{{end}}{{deepCopy $l | len}}"));
    assert!(is_limit(r#"{{range 1000}}{{printf "%1000000d" 1 | len}}{{end}}"#));
    assert!(is_limit(r#"{{range until 300}}{{repeat 1000 "x"}}{{end}}"#));
}

#[test]
fn values_that_contain_themselves_are_stopped() {
    let cycle = r#"{{$d := dict}}{{$_ := set $d "self" $d}}"#;
    for use_of_it in [
        "{{$d}}",
        "{{toJson $d}}",
        "{{toYaml $d}}",
        "{{deepCopy $d | len}}",
        "{{quote $d}}",
        r#"{{$e := dict}}{{$_ := set $e "self" $e}}{{deepEqual $d $e}}"#,
        r#"{{$e := dict}}{{$_ := set $e "self" $e}}{{merge $d $e | len}}"#,
    ] {
        assert!(is_limit(&format!("{cycle}{use_of_it}")), "{use_of_it}");
    }
}

#[test]
fn values_of_any_depth_are_dropped() {
    let deep = r#"{{$l := list}}{{range 100000}}{{$l = list $l}}{{end}}ok"#;
    assert_eq!(rendered(deep).unwrap(), "ok");
    let chain = r#"{{$d := dict}}{{$c := $d}}{{range 50000}}{{$n := dict}}{{$_ := set $c "n" $n}}{{$c = $n}}{{end}}ok"#;
    assert_eq!(rendered(chain).unwrap(), "ok");
}

#[test]
fn the_output_may_be_as_large_as_the_limit_and_not_larger() {
    assert_eq!(rendered(r#"{{repeat 262144 "a"}}"#).unwrap().len(), 262_144);
    assert!(is_limit(r#"{{repeat 262144 "a"}}b"#));
}

#[test]
fn a_source_over_the_limit_is_refused_unread() {
    let limits = Limits { source_bytes_max: 10, ..Limits::default() };
    let fault = render("{{ 12345678", &Data::new(), &limits).unwrap_err();
    assert_eq!(fault, RenderError::SourceTooLarge { bytes: 11, bytes_max: 10 });
    assert!(check_syntax("{{ 12345678", &limits).is_err());
    let large = "{{/* x */}}".repeat(90_000);
    assert_eq!(rendered(&large).unwrap(), "");
}

#[test]
fn binary_output_is_refused() {
    let fault = rendered(r#"a: 1{{"\n"}}{{b64dec "/w=="}}"#).unwrap_err();
    assert_eq!(fault, RenderError::NotUtf8 { byte: 5, line: 2 });
}

#[test]
fn data_changed_by_one_rendering_is_whole_in_the_next() {
    let data = Data::bare(serde_json::json!({"m": {"a": 1}}));
    let template = r#"{{len .m}}{{$_ := set .m "b" 2}}{{len .m}}"#;
    for _ in 0..2 {
        assert_eq!(render(template, &data, &Limits::default()).unwrap().text, "12");
    }
}
