//! Many replicas over one Redis: nothing is lost, doubled or told differently, whoever fails.

mod bursts;
mod cluster;
mod disk;
mod limits;
mod mixed;
mod outages;
mod resources;
mod sentinel;
mod shared;
mod whole_path;

use std::time::Duration;

use seawall_model::RemediationRequest;
use seawall_testkit::{Alert, Answer, Client, Scene, Seawall, SeawallBuilder, eventually};
use tokio::task::JoinSet;

use crate::load::Senders;
use crate::support::SOON;

/// Replicas that differ in nothing but their addresses.
pub async fn replicas(
    scene: &Scene,
    count: usize,
    recipe: impl Fn(SeawallBuilder) -> SeawallBuilder,
) -> Vec<Seawall> {
    let mut replicas = Vec::new();
    for number in 0..count {
        replicas.push(recipe(scene.seawall(&format!("seawall-{number}"))).start().await);
    }
    replicas
}

pub fn clients(replicas: &[Seawall]) -> Vec<Client> {
    replicas.iter().map(Seawall::client).collect()
}

/// Senders for load on all replicas. They give up soon, so that what they send again may be counted twice.
fn senders(clients: &[Client]) -> Senders {
    Senders { clients: clients.to_vec(), count: 16, problems: 1_500, patience: Duration::from_secs(2) }
}

fn storms(requests: &[RemediationRequest]) -> u64 {
    requests.iter().filter(|request| request.spec.is_storm).count() as u64
}

/// Sends every alert in a body of its own, all at once, to the replicas in turn.
async fn fire_everywhere(clients: &[Client], alerts: &[Alert]) -> Vec<Answer> {
    let mut deliveries = JoinSet::new();
    for (alert, client) in alerts.iter().zip(clients.iter().cycle()) {
        let (client, alert) = (client.clone(), alert.clone());
        deliveries.spawn(async move { client.fire(&[alert]).await.expect("an answer") });
    }
    deliveries.join_all().await
}

/// Waits until all replicas list the same requests, and returns them.
async fn listed_everywhere(clients: &[Client], filter: &str) -> Vec<RemediationRequest> {
    eventually(SOON, || async {
        let first = clients[0].requests(filter).await;
        for other in &clients[1..] {
            let other = other.requests(filter).await;
            if let Some(difference) = difference(&first, &other) {
                return Err(difference);
            }
        }
        Ok(first)
    })
    .await
}

fn difference(one: &[RemediationRequest], other: &[RemediationRequest]) -> Option<String> {
    let text = |request| serde_json::to_string(request).expect("a request is JSON");
    let at = one.iter().zip(other).position(|(one, other)| text(one) != text(other));
    match at {
        Some(at) => Some(format!("one lists {}, another one {}", text(&one[at]), text(&other[at]))),
        None if one.len() != other.len() => Some(format!("one lists {}, another {}", one.len(), other.len())),
        None => None,
    }
}
