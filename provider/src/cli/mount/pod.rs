//! The pod that a command plays: whose it is, and with which token.
//!
//! The API server is never asked: it would bind a token to a pod, and this one does not exist.

use std::path::Path;

use coffer_provider_core::problem::shown;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::token::Claims;
use crate::cli::class_file::{ClassFile, PlayedPod};
use crate::cli::{Environment, Failed, configure};
use crate::config::{Config, HmacSource, Invocation, MountArguments};
use crate::kube::KubeAccess;

/// A played pod and what is odd about it.
pub(in crate::cli) struct Played {
    pub(in crate::cli) pod: PlayedPod,
    /// Of the token; none without one or when it is no JWT.
    pub(in crate::cli) claims: Option<Claims>,
    /// Whom the token should be for.
    pub(in crate::cli) audience: String,
    /// One sentence each.
    pub(in crate::cli) remarks: Vec<String>,
}

/// The configuration of a command that plays a Mount: the server's, without an API server.
pub(in crate::cli) fn configured(
    invocation: &Invocation,
    environment: Environment,
) -> Result<Config, Failed> {
    let mut config = configure(invocation, environment)?;
    config.kube = KubeAccess::Off;
    // The server makes the Secret where there is none; a look around must not.
    if config.hmac_source == HmacSource::Api {
        config.hmac_source = HmacSource::Generate;
    }
    Ok(config)
}

/// The pod that arguments, token and class describe, in this order of strength.
pub(in crate::cli) fn play(
    arguments: &MountArguments,
    class: &ClassFile,
    config: &Config,
) -> Result<Played, Failed> {
    let audience = class
        .parameters
        .get("audience")
        .filter(|text| !text.is_empty());
    let audience = audience.unwrap_or(&config.rules.audience).clone();
    let token = arguments.token_file.as_deref().map(text_file).transpose()?;
    let claims = token.as_ref().and_then(|token| Claims::read(token));
    let account = claims.as_ref().and_then(|claims| claims.account.clone());
    let (of_token, account) = account.unzip();
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let namespace = given(&arguments.pod_namespace).or_else(|| of_token.clone());
    let namespace = namespace.or_else(|| class.namespace.clone());
    let service_account = given(&arguments.service_account).or_else(|| account.clone());
    let pod = PlayedPod {
        namespace: namespace.unwrap_or_else(|| "default".to_owned()),
        service_account: service_account.unwrap_or_else(|| "default".to_owned()),
        token: token.map(|token| (audience.clone(), token)),
    };
    let mut remarks = remarks(class, &pod, config);
    if let (Some(namespace), Some(account)) = (of_token, account)
        && (&namespace, &account) != (&pod.namespace, &pod.service_account)
    {
        remarks.push(format!(
            "the token is that of service account {}/{}, which is whom the store sees",
            shown(&namespace),
            shown(&account)
        ));
    }
    Ok(Played {
        pod,
        claims,
        audience,
        remarks,
    })
}

fn remarks(class: &ClassFile, pod: &PlayedPod, config: &Config) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(namespace) = class
        .namespace
        .as_ref()
        .filter(|name| **name != pod.namespace)
    {
        remarks.push(format!(
            "pods of namespace {} cannot use this class: it is in namespace {}",
            shown(&pod.namespace),
            shown(namespace)
        ));
    }
    if class.provider != config.provider_name {
        remarks.push(format!(
            "the class is for the provider \"{}\", and this plays \"{}\"; choose with --provider-name",
            shown(&class.provider),
            config.provider_name
        ));
    }
    remarks
}

fn text_file(path: &Path) -> Result<Zeroizing<String>, Failed> {
    let unreadable = |what: String| Failed::new(3, format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|error| unreadable(error.to_string()))?;
    if text.trim().is_empty() {
        return Err(unreadable("holds no token".to_owned()));
    }
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// Reads a file that holds one secret.
pub(in crate::cli) fn secret_file(path: &Path) -> Result<SecretString, Failed> {
    text_file(path).map(|text| SecretString::from(text.as_str()))
}
