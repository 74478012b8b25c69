//! What is said of a file as a whole, and of what stands around the parameters of its classes.

use super::{GOOD, class, findings, report, told};

#[test]
fn a_file_that_is_not_yaml_is_told_with_its_line_and_the_rest_is_checked() {
    let text = format!("{GOOD}---\nkind: [\n");
    insta::assert_snapshot!(told(&text), @r"
    f:22: problem: column 7: not valid YAML (unclosed bracket '['); check indentation, quotes and brackets there; nothing below was checked [not_yaml]

    SecretProviderClass shop/app (f:1), provider vault
      FILE         MODE  ENCODING  METHOD  SOURCE                  KEY            OPTIONAL
      db/password  0600  utf-8     GET     secret/data/db          password       no
      ca.der       0644  base64    GET     pki/cert/ca             certificate    no
      all.json     0644  utf-8     GET     database/creds/app?a=b  (whole reply)  no

    1 problem, 0 warnings, 1 class
    ");
    for text in [
        "a: &x [*x]",
        "\t- {",
        "%",
        "a: *nothing",
        "{\"a\": \"b",
        "\u{0}",
    ] {
        let report = report(&[("f", text)]);
        assert!(report.has_problems(), "{text}");
        assert_eq!(report.files[0].problems[0].line, 1, "{text}");
    }
}

#[test]
fn a_file_in_which_nothing_is_looked_at_is_a_problem() {
    for text in [
        "",
        "---\n---\n",
        "# words\n",
        "null",
        "just words",
        "- a\n- b\n",
        "kind: Service\n",
        "kind: SecretProviderClass\napiVersion: example.com/v1\n",
    ] {
        let alone = report(&[("f", text)]);
        assert!(alone.has_problems(), "{text:?}");
        // Beside a class, other kinds are fine and emptiness is not.
        let other = text.starts_with("kind: ");
        let beside = report(&[("f", text), ("class.yaml", GOOD)]);
        assert_eq!(beside.has_problems(), !other, "{text:?}");
    }
    insta::assert_snapshot!(told(""), @r"
    f:1: problem: holds no SecretProviderClass; give a file with a SecretProviderClass of secrets-store.csi.x-k8s.io/v1 [no_class]

    1 problem, 0 warnings, 0 classes
    ");
    assert!(!report(&[]).has_problems());
}

#[test]
fn a_misspelt_kind_or_group_is_no_class_and_a_problem() {
    let group = "apiVersion: secrets-store.csi.x-k8s.io/v1\n";
    for (from, to, expected) in [
        (
            "kind: SecretProviderClass",
            "kind: SecretProviderClas",
            "SecretProviderClas shop/app: kind: \"SecretProviderClas\" is no kind of the driver; did you mean SecretProviderClass? [manifest]",
        ),
        (
            "kind: SecretProviderClass",
            "kind: secretProviderclass",
            "secretProviderclass shop/app: kind: \"secretProviderclass\" is no kind of the driver; did you mean SecretProviderClass? [manifest]",
        ),
        (
            group,
            "apiVersion: secrets-store.csi.k8s.io/v1\n",
            "SecretProviderClass shop/app: apiVersion: \"secrets-store.csi.k8s.io/v1\" is not the driver's; did you mean secrets-store.csi.x-k8s.io/v1? [manifest]",
        ),
        (
            group,
            "",
            "SecretProviderClass shop/app: apiVersion: is missing; write secrets-store.csi.x-k8s.io/v1 [manifest]",
        ),
    ] {
        let expected = format!("f:1: problem: {expected}");
        assert_eq!(findings(&class(&[(from, to)])), expected, "{to}");
    }
}

#[test]
fn keys_that_no_class_has_are_told_beside_good_ones() {
    let text = class(&[
        (
            "  namespace: shop",
            "  namespace: shop\n  nmespace: shop\n  lables: {a: b}",
        ),
        (
            "  provider: vault",
            "  provider: vault\n  paramters: {roleName: x}\n  secretObject: []",
        ),
    ]);
    let synced = "  secretObjects:
    - secretname: s
      type: Opaque
      data:
        - key: a
          objectNam: db/password
stauts: {}
\"evil\\nkey\": 1
";
    insta::assert_snapshot!(findings(&format!("{text}{synced}")), @r"
    f:6: warning: SecretProviderClass shop/app: metadata.nmespace: is not known and ignored; did you mean namespace? [unknown_key]
    f:7: warning: SecretProviderClass shop/app: metadata.lables: is not known and ignored; did you mean labels? [unknown_key]
    f:10: warning: SecretProviderClass shop/app: spec.paramters: is not known and ignored; did you mean parameters? [unknown_key]
    f:11: warning: SecretProviderClass shop/app: spec.secretObject: is not known and ignored; did you mean secretObjects? [unknown_key]
    f:26: warning: SecretProviderClass shop/app: spec.secretObjects[0].secretname: is not known and ignored; did you mean secretName? [unknown_key]
    f:30: warning: SecretProviderClass shop/app: spec.secretObjects[0].data[0].objectNam: is not known and ignored; did you mean objectName? [unknown_key]
    f:31: warning: SecretProviderClass shop/app: stauts: is not known and ignored; did you mean status? [unknown_key]
    f:32: warning: SecretProviderClass shop/app: evil\nkey: is not known and ignored; remove it [unknown_key]
    ");
    let foreign = text.replace("provider: vault", "provider: aws");
    assert_eq!(findings(&foreign), "");
}
