//! All routes.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use http::header::CONTENT_TYPE;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::OPEN;
use crate::edge::Edge;
use crate::layer::{with_edge_layers, with_gate};
use crate::openapi::{describe_authentication, description, openapi_json};
use crate::problem::Problem;
use crate::{health, reads, signals};

/// Every path there is, as metrics label it.
pub(crate) const ROUTES: [&str; 19] = [
    "/api/v1/signals/prometheus",
    "/webhook/prometheus",
    "/api/v2/alerts",
    "/api/v1/signals/kubernetes-event",
    "/webhook/k8s-event",
    "/api/v1/requests",
    "/api/v1/requests/{namespace}/{name}",
    "/api/v1/requests/{namespace}/{name}/status",
    "/api/v1/storms",
    "/api/v1/storms/{id}",
    "/api/v1/explain/{fingerprint}",
    "/healthz",
    "/health/live",
    "/readyz",
    "/ready",
    "/health/ready",
    "/health",
    "/metrics",
    "/openapi.json",
];

/// The whole interface, with everything around it that answers need.
pub fn router(edge: Arc<Edge>) -> Router {
    let (routes, _) = described();
    let document = openapi_json();
    let routes = routes
        .route("/openapi.json", get(async move || ([(CONTENT_TYPE, "application/json")], document.clone())))
        .method_not_allowed_fallback(async || Problem::method_not_allowed().into_response())
        .fallback(async || Problem::not_found("there is nothing at this path").into_response())
        .with_state(edge.clone());
    with_gate(routes, edge)
}

/// Health and metrics alone, for a listener of their own.
pub fn operations_router(edge: Arc<Edge>) -> Router {
    let routes = operations()
        .split_for_parts()
        .0
        .method_not_allowed_fallback(async || Problem::method_not_allowed().into_response())
        .fallback(async || Problem::not_found("there is nothing at this path").into_response())
        .with_state(edge.clone());
    with_edge_layers(routes, edge)
}

fn operations() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new()
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
}

/// The routes and their description.
pub(crate) fn described() -> (Router<Arc<Edge>>, utoipa::openapi::OpenApi) {
    let (mut routes, mut description) = OpenApiRouter::with_openapi(description())
        .routes(routes!(signals::alertmanager))
        .routes(routes!(signals::prometheus))
        .routes(routes!(signals::kubernetes_event))
        .routes(routes!(reads::list_requests))
        .routes(routes!(reads::get_request))
        .routes(routes!(reads::patch_status))
        .routes(routes!(reads::list_storms))
        .routes(routes!(reads::get_storm))
        .routes(routes!(reads::explain))
        .merge(operations())
        .split_for_parts();
    for (alias, original, handler) in aliases() {
        routes = routes.route(alias, handler);
        let paths = &mut description.paths.paths;
        if let Some(mut item) = paths.get(original).cloned() {
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                // Ids are unique; the alias is the same operation under another path.
                operation.operation_id = None;
                operation.description = Some(format!("The same as `{original}`."));
            }
            paths.insert(alias.to_owned(), item);
        }
    }
    describe_authentication(&mut description, &OPEN);
    (routes, description)
}

/// Other paths for the same thing: alias, original, handler.
fn aliases() -> [(&'static str, &'static str, MethodRouter<Arc<Edge>>); 6] {
    let (alerts, events) = ("/api/v1/signals/prometheus", "/api/v1/signals/kubernetes-event");
    [
        ("/webhook/prometheus", alerts, post(signals::alertmanager)),
        ("/webhook/k8s-event", events, post(signals::kubernetes_event)),
        ("/health/live", "/healthz", get(health::live)),
        ("/ready", "/readyz", get(health::ready)),
        ("/health/ready", "/readyz", get(health::ready)),
        ("/health", "/readyz", get(health::ready)),
    ]
}
