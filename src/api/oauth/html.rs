//! The HTML of the pages. They have no script, and every value in them is escaped.

use poem::{
    IntoResponse, Response,
    http::{StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type,
};
use url::Url;
use uuid::Uuid;

use crate::config::Provider;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:28rem;margin:4rem auto;padding:0 1rem}\
                     label,input,button{display:block;font:inherit;width:100%;box-sizing:border-box}\
                     input,button{margin:.25rem 0 1rem;padding:.5rem}.alert{color:#b00020}";

/// A page, or a redirect.
pub(super) struct Html(Response);

impl Html {
    /// A page with this title and body. `target` is the origin that its form leads to after the gateway.
    fn page(title: &str, body: &str, target: Option<&Url>) -> Self {
        let text = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
             <style>{STYLE}</style></head><body><h1>{title}</h1>{body}</body></html>",
            title = escape(title),
        );
        // Browsers apply `form-action` to redirects too. A provider often redirects further, to its login.
        let target = target.map(|url| format!(" https: {}", url.origin().ascii_serialization()));
        let policy = format!(
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'{}; \
             frame-ancestors 'none'; base-uri 'none'",
            target.unwrap_or_default()
        );
        Self(
            Response::builder()
                .content_type("text/html; charset=utf-8")
                .header(header::CONTENT_SECURITY_POLICY, policy)
                .header(header::X_FRAME_OPTIONS, "DENY")
                // With `no-referrer`, browsers would send `Origin: null` with a form (Fetch standard, section 3.1).
                // Other origins get no referrer.
                .header(header::REFERRER_POLICY, "same-origin")
                .body(text),
        )
    }

    /// A page that reports a result.
    pub(super) fn message(title: &str, text: &str) -> Self {
        Self::page(title, &format!("<p>{}</p>", escape(text)), None)
    }

    /// The page that asks for the login of a user.
    pub(super) fn login(request: Uuid, provider: &Provider, alert: Option<&str>) -> Self {
        let alert =
            alert.map(|alert| format!("<p class=\"alert\" role=\"alert\">{}</p>", escape(alert)));
        let body = format!(
            "{alert}<p>Log in to streamgate to link your account at {provider}. Continue only if you have asked for \
             this yourself.</p><form method=\"post\" action=\"authorize\">\
             <input type=\"hidden\" name=\"request\" value=\"{request}\">\
             <label>User name<input name=\"username\" autocomplete=\"username\" required></label>\
             <label>Password<input name=\"password\" type=\"password\" autocomplete=\"current-password\" required>\
             </label><button>Log in</button></form>",
            alert = alert.unwrap_or_default(),
            provider = escape(provider.title()),
        );
        Self::page("Log in", &body, None)
    }

    /// The page that shows what is linked to whom.
    pub(super) fn consent(request: Uuid, provider: &Provider, user: &str, target: &Url) -> Self {
        let scopes = if provider.scopes.is_empty() {
            "the provider's default".to_owned()
        } else {
            provider.scopes.join(", ")
        };
        let body = format!(
            "<p>Your account at <b>{title}</b> ({host}) will be linked to the streamgate user <b>{user}</b>.</p>\
             <p>Client: {client}<br>Scopes: {scopes}</p>\
             <form method=\"post\" action=\"authorize/continue\">\
             <input type=\"hidden\" name=\"request\" value=\"{request}\">\
             <button>Continue to {title}</button></form>",
            title = escape(provider.title()),
            host = escape(target.host_str().unwrap_or_default()),
            user = escape(user),
            client = escape(&provider.client_id),
            scopes = escape(&scopes),
        );
        Self::page("Link an account", &body, Some(target))
    }

    /// A redirect that a browser follows with GET.
    pub(super) fn redirect(target: &Url) -> Self {
        let response = Response::builder().status(StatusCode::SEE_OTHER);
        Self(response.header(header::LOCATION, target.as_str()).finish())
    }

    /// The page, with a cookie to set.
    pub(super) fn with_cookie(self, cookie: &str) -> Self {
        Self(self.0.with_header(header::SET_COOKIE, cookie).into_response())
    }
}

impl IntoResponse for Html {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for Html {
    fn meta() -> MetaResponses {
        let field = |name: &str, description: &str| MetaHeader {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            required: false,
            deprecated: false,
            schema: String::schema_ref(),
        };
        let html = MetaMediaType {
            content_type: "text/html; charset=utf-8",
            schema: String::schema_ref(),
        };
        let cookie =
            || field("Set-Cookie", "The one-time cookie `__Host-streamgate-link`, or its removal");
        let response = |status, description, content, headers| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content,
            headers,
        };
        MetaResponses {
            responses: vec![
                response(
                    200,
                    "A page for the user, also if a step was refused",
                    vec![html],
                    vec![cookie()],
                ),
                response(
                    303,
                    "The user goes on to the provider",
                    Vec::new(),
                    vec![field("Location", "URL of the provider")],
                ),
            ],
        }
    }

    fn register(_registry: &mut Registry) {}
}

fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, next| {
        match next {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
        escaped
    })
}
