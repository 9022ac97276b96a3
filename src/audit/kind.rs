//! The kinds of security events.

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal),+ $(,)?) => {
        /// The kind of a security event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum AuditKind { $($(#[$doc])* $kind),+ }

        impl AuditKind {
            /// All kinds.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$kind),+];

            /// The name in the table, in responses and in the log.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),+ }
            }
        }
    };
}

impl AuditKind {
    /// Whether the event is a sign that a credential was stolen.
    #[must_use]
    pub const fn is_alarming(self) -> bool {
        matches!(self, Self::RefreshReused)
    }
}

kinds! {
    /// A user has logged in.
    LoginSucceeded = "login.succeeded",
    /// A login was refused. The event has no user if no user has the name.
    LoginFailed = "login.failed",
    /// A user has logged out.
    LoggedOut = "login.ended",
    /// A refresh token was used again after its grace, and its session was revoked.
    RefreshReused = "refresh.reused",
    /// An administrator has revoked all login sessions of a user.
    SessionsRevoked = "user.sessions_revoked",
    /// A user was created.
    UserCreated = "user.created",
    /// A user was deleted.
    UserDeleted = "user.deleted",
    /// The role of a user was changed.
    RoleChanged = "user.role_changed",
    /// The password of a user was changed.
    PasswordChanged = "user.password_changed",
    /// A user was disabled.
    UserDisabled = "user.disabled",
    /// A user was enabled again.
    UserEnabled = "user.enabled",
    /// An API key was created.
    ApiKeyCreated = "api_key.created",
    /// An API key has a new text.
    ApiKeyRotated = "api_key.rotated",
    /// An API key was deleted.
    ApiKeyDeleted = "api_key.deleted",
    /// An API key was used from a network for the first time.
    ApiKeyNewAddress = "api_key.new_address",
    /// A user has linked an account at an OAuth provider.
    OauthLinked = "oauth.linked",
    /// A user has unlinked an account at an OAuth provider.
    OauthRevoked = "oauth.revoked",
    /// A worker has got the access token of a user's grant.
    OauthTokenIssued = "oauth.token_issued",
    /// A tunnel was shared with a user, or the role of the user was changed.
    TunnelShared = "tunnel.shared",
    /// A tunnel is not shared with a user any more.
    TunnelUnshared = "tunnel.unshared",
    /// The policy of a tunnel was changed.
    TunnelPolicyChanged = "tunnel.policy_changed",
    /// A tool was called through a tunnel. The event is about the owner of the tunnel.
    ToolCalled = "tool.called",
}
