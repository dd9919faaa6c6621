//! What a person can do about a refusal, in a command's words: the server's own are for every client.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use prost::Message as _;
use serde::Deserialize;
use tonic_types::pb::ErrorInfo;

use crate::proto::hallpass::v1::Reason;

/// A detail of an error as Connect writes it.
#[derive(Deserialize)]
pub(super) struct Detail {
    r#type: String,
    /// In base64, without padding.
    value: String,
}

/// The first advice that there is about the reasons in `details`.
pub(super) fn advice(details: &[Detail]) -> Option<&'static str> {
    details.iter().find_map(|detail| about(reason(detail)?))
}

fn reason(detail: &Detail) -> Option<Reason> {
    if detail.r#type != "google.rpc.ErrorInfo" {
        return None;
    }
    let info = ErrorInfo::decode(&*STANDARD_NO_PAD.decode(&detail.value).ok()?).ok()?;
    Reason::from_str_name(&info.reason)
}

const fn about(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::OutlivesParent => Some(
            "Give an earlier --expires; or use a token that lives longer, as `hallpass login --expires 365d` makes one.",
        ),
        Reason::LifetimeTooLong => {
            Some("Give an earlier --expires; `hallpass status` tells the policies.")
        }
        Reason::UserOwnsMachines => Some(
            "`hallpass machine list --owner USER` lists them, `hallpass machine set-owner MACHINE USER` hands one over.",
        ),
        // The refusal names no other token than the one that was asked for.
        Reason::AlreadyRotated => {
            Some("`hallpass token get` of the rotated token tells which one that is.")
        }
        _ => None,
    }
}
