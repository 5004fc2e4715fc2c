//! A real Alertmanager sends to Seawall.

use std::time::Duration;

use seawall_testkit::{Alert, Alertmanager, AlertmanagerOptions, Deadline, eventually, until};

use crate::support::{alert_count, occurrences, scene, the_storm};

/// Alertmanager itself waits at least this long before it gives up a delivery and tries the next.
const PATIENCE: Duration = Duration::from_secs(90);

fn options() -> AlertmanagerOptions {
    AlertmanagerOptions::default()
}

#[tokio::test]
async fn a_group_of_alertmanager_becomes_one_request_and_its_end_is_noted() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();
    let alertmanager =
        Alertmanager::start(&scene, "alertmanager", &seawall.url("/webhook/prometheus"), &options()).await;

    let alerts = Alert::pods("PodCrashLooping", "prod", 15);
    alertmanager.post(&alerts).await;
    eventually(PATIENCE, || async {
        match client.requests("").await.as_slice() {
            [request] if request.spec.storm_alert_count == Some(15) => Ok(()),
            requests => Err(format!("{} requests", requests.len())),
        }
    })
    .await;

    let over: Vec<_> = alerts.into_iter().map(Alert::resolved).collect();
    alertmanager.post(&over).await;
    eventually(PATIENCE, || async {
        client.requests("").await[0].spec.resolved_at.ok_or("the storm's request is not resolved")
    })
    .await;
    let requests = client.requests("").await;
    assert_eq!((requests.len(), alert_count(&requests[0]), occurrences(&requests[0])), (1, 15, 15));
}

#[tokio::test]
async fn what_alertmanager_repeats_is_counted_on_the_same_request() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();
    let repeating = AlertmanagerOptions { repeat_interval: "1s".into(), ..options() };
    let mut alertmanager =
        Alertmanager::start(&scene, "alertmanager", &seawall.url("/webhook/prometheus"), &repeating).await;

    let alerts = [Alert::new("DiskFull", "prod", "db-0")];
    alertmanager.post(&alerts).await;
    let counted_at_least = async |count: u64| {
        eventually(PATIENCE, || async {
            match client.requests("").await.as_slice() {
                [request] if occurrences(request) >= count => Ok(occurrences(request)),
                requests => {
                    Err(format!("{:?} counted", requests.iter().map(occurrences).collect::<Vec<_>>()))
                }
            }
        })
        .await
    };
    let before = counted_at_least(3).await;

    alertmanager.restart().await;
    alertmanager.post(&alerts).await;
    counted_at_least(before + 1).await;
}

#[tokio::test]
async fn a_pair_that_delivers_everything_twice_makes_one_request_per_problem() {
    let scene = scene().await;
    let seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();
    let webhook = seawall.url("/webhook/prometheus");
    let one = Alertmanager::start(&scene, "alertmanager-0", &webhook, &options()).await;
    let other = Alertmanager::start(&scene, "alertmanager-1", &webhook, &options()).await;

    let storm = Alert::pods("PodCrashLooping", "prod", 15);
    let single = Alert::new("DiskFull", "shop", "db-0");
    let alerts = [storm, vec![single]].concat();
    tokio::join!(one.post(&alerts), other.post(&alerts));
    eventually(PATIENCE, || async {
        let requests = client.requests("").await;
        let counted: u64 = requests.iter().map(occurrences).sum();
        if counted == 32 { Ok(()) } else { Err(format!("{counted} counted in {} requests", requests.len())) }
    })
    .await;
    let requests = client.requests("").await;
    assert_eq!(requests.len(), 2);
    assert_eq!((alert_count(the_storm(&requests)), occurrences(the_storm(&requests))), (15, 30));
}

#[tokio::test]
async fn alerts_raised_while_seawall_is_down_arrive_when_it_is_back() {
    let scene = scene().await;
    let mut seawall = scene.seawall("seawall").start().await;
    let client = seawall.client();
    let alertmanager =
        Alertmanager::start(&scene, "alertmanager", &seawall.url("/webhook/prometheus"), &options()).await;
    alertmanager.post(&[Alert::new("Before", "prod", "web-0")]).await;
    eventually(PATIENCE, || async {
        if client.requests("").await.len() == 1 { Ok(()) } else { Err("the first alert has not arrived") }
    })
    .await;

    seawall.kill9();
    let down = Deadline::after(Duration::from_secs(8));
    alertmanager.post(&Alert::pods("PodCrashLooping", "prod", 15)).await;
    alertmanager.post(&[Alert::new("DiskFull", "shop", "db-0")]).await;
    until(PATIENCE, || async { alertmanager.deliveries().await.1 > 0 && down.is_over() }).await;
    assert!(alertmanager.deliveries().await.1 > 0, "it has tried in vain");

    seawall.restart().await;
    eventually(PATIENCE, || async {
        let requests = client.requests("").await;
        let counted: u64 = requests.iter().map(occurrences).sum();
        if requests.len() == 3 && counted >= 17 {
            Ok(())
        } else {
            Err(format!("{counted} in {}", requests.len()))
        }
    })
    .await;
    let requests = client.requests("").await;
    assert_eq!(alert_count(the_storm(&requests)), 15);
    let names: Vec<_> = requests.iter().map(|request| request.spec.signal_name.as_str()).collect();
    assert!(names.contains(&"Before") && names.contains(&"DiskFull"), "{names:?}");
}
