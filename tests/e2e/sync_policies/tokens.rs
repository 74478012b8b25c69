//! Which tokens the controller gets: of ten minutes, for one audience of the list, of accounts that opted in.

use anyhow::Result;
use coffer_tests::apiserver::ApiServer;
use coffer_tests::fixture::eventually;
use kube::api::PatchParams;
use serde_json::{Value, json};

use super::policed;
use crate::stage::SOON;
use crate::sync_objects::{judge, merged, token};
use crate::world::run;

/// Case 12, token: ten minutes, exactly one audience, and from the list
#[test]
fn case_12_tokens_are_of_ten_minutes_and_for_one_audience_of_the_list() -> Result<()> {
    run(async {
        let policed = policed().await?;
        let team = policed.team().await?;
        for (audiences, seconds, expected) in [
            (&["vault"][..], 600, "ok"),
            (&["openbao"], 600, "ok"),
            (&["vault"], 599, "422 less than 10 minutes"),
            (&["vault"], 601, "422 lives for 600 seconds"),
            (&["vault"], 3600, "422 lives for 600 seconds"),
            (&["vault", "openbao"], 600, "422 exactly one audience"),
            (&["vault", "vault"], 600, "422 exactly one audience"),
            (&["sts.amazonaws.com"], 600, "422 not among those"),
            (&[" vault"], 600, "422 not among those"),
            (&[""], 600, "422 not among those"),
            // Without audience it would be a token for the API server itself.
            (&[], 600, "422 not among those"),
            (&[ApiServer::ISSUER], 600, "422 not among those"),
        ] {
            let said = token(&policed.controller, &team, "app", audiences, seconds).await?;
            judge(&format!("{audiences:?} {seconds}"), &said, expected)?;
        }
        let said = token(&policed.controller, &team, "nobody", &["vault"], 600).await?;
        judge("an account that is not there", &said, "404 not found")?;
        let said = token(&policed.admin, &team, "app", &[], 3600).await?;
        judge("somebody else", &said, "ok")
    })
}

/// Case 12, opt-in: exactly the accounts without the label are denied, and a label counts at once
#[test]
fn case_12_accounts_that_did_not_opt_in_get_no_token() -> Result<()> {
    run(async {
        let policed = policed().await?;
        let team = policed.team().await?;
        policed.api.create_service_account(&team, "late").await?;
        let asked =
            async |account: &str| token(&policed.controller, &team, account, &["vault"], 600).await;
        let label = async |value: Value| {
            let late = json!({
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "late", "namespace": team},
            });
            let patch = json!({"metadata": {"labels": {"coffer.rs/allow-sync": value}}});
            let said = merged(&policed.admin, &late, &PatchParams::default(), &patch).await?;
            judge("a label", &said, "ok")
        };
        let denied = "422 lacks the label coffer.rs/allow-sync";
        judge("app", &asked("app").await?, "ok")?;
        // The policy learns of accounts by a watch of the server's own.
        for (value, expected) in [
            (json!(null), denied),
            (json!("true"), "ok"),
            (json!(null), denied),
            (json!(""), "ok"),
        ] {
            label(value).await?;
            let followed = eventually(SOON, "a label that counts", async || {
                judge("late", &asked("late").await?, expected)
            });
            followed.await?;
            judge("default", &asked("default").await?, denied)?;
            judge("app", &asked("app").await?, "ok")?;
        }
        let said = token(&policed.admin, &team, "default", &["vault"], 600).await?;
        judge("somebody else", &said, "ok")
    })
}
