//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use seawall_server::config::{Flags, Sources};

use crate::client::Client;

/// Turns floods of alerts into one remediation request per problem.
#[derive(Debug, Parser)]
#[command(name = "seawall", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(ServeOptions),
    /// Show a storm of 15 alerts become one request, with a server of its own that leaves nothing behind
    Demo,
    /// List, watch and work on requests
    #[command(args_conflicts_with_subcommands = true)]
    Requests(RequestsOptions),
    /// List storms and their members
    #[command(args_conflicts_with_subcommands = true)]
    Storms(StormsOptions),
    /// Say why an alert or a request was decided as it was
    Explain(ExplainOptions),
    /// Check, show and describe the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make what senders and workers show to say who they are
    #[command(subcommand)]
    Auth(AuthCommand),
    /// Ask whether the configured state store is fit for use, and say what is unsafe; changes nothing
    Doctor(DoctorOptions),
    /// Print the custom resource definition of RemediationRequest
    Crd,
    /// Print the version
    Version,
    /// Print completions for a shell
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Args)]
pub struct ServeOptions {
    /// Configuration file [default: $SEAWALL_CONFIG, else ./seawall.yaml when it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Directory of the embedded store's data [default: ./seawall-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Listen where other machines can reach it although nobody is asked who they are
    #[arg(long)]
    pub allow_anonymous: bool,
}

impl ServeOptions {
    pub fn sources(self) -> Sources {
        let Self { config, listen, data_dir, allow_anonymous } = self;
        Sources::of_process(config, Flags { listen, data_dir, allow_anonymous })
    }
}

#[derive(Debug, Args)]
pub struct DoctorOptions {
    /// Configuration file [default: $SEAWALL_CONFIG, else ./seawall.yaml when it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of the embedded store's data [default: ./seawall-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

impl DoctorOptions {
    pub fn sources(self) -> Sources {
        // Nothing listens, so nothing is opened to anybody.
        let flags = Flags { listen: None, data_dir: self.data_dir, allow_anonymous: true };
        Sources::of_process(self.config, flags)
    }
}

/// How to reach a server, and how to print what it says.
#[derive(Clone, Debug, Args)]
pub struct ClientOptions {
    /// Where the server is
    #[arg(long, value_name = "URL", env = "SEAWALL_URL", default_value = "http://127.0.0.1:8080")]
    pub server: String,
    /// A file with the bearer token to show, where the server asks for one
    #[arg(long, value_name = "FILE", env = "SEAWALL_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// A file with the authorities, in PEM, that vouch for an https server [default: those of the system]
    #[arg(long, value_name = "FILE", env = "SEAWALL_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

impl ClientOptions {
    /// A client for the server, as whoever the token belongs to.
    pub fn connect(&self) -> anyhow::Result<Client> {
        let client = Client::new(&self.server, self.ca_file.as_deref())?;
        match &self.token_file {
            Some(file) => client.with_token_of(file),
            None => Ok(client),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub struct RequestsOptions {
    #[command(subcommand)]
    pub command: Option<RequestsCommand>,
    #[command(flatten)]
    pub filter: RequestFilter,
    #[command(flatten)]
    pub client: ClientOptions,
}

#[derive(Debug, Subcommand)]
pub enum RequestsCommand {
    /// List requests
    List {
        #[command(flatten)]
        filter: RequestFilter,
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Show one request
    Get {
        #[command(flatten)]
        name: RequestName,
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Print every request and every change of one, as they come
    Watch {
        #[command(flatten)]
        filter: RequestFilter,
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Report how far the work on a request is: Processing, Executing, Completed, Failed, …
    SetPhase {
        #[command(flatten)]
        name: RequestName,
        phase: String,
        /// A sentence about it
        #[arg(short, long)]
        message: Option<String>,
        #[command(flatten)]
        client: ClientOptions,
    },
}

/// Which requests; nothing given means all.
#[derive(Clone, Debug, Default, Args)]
pub struct RequestFilter {
    /// Only those in this namespace
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Only those in this phase; empty text: nobody works on it yet
    #[arg(short, long)]
    pub phase: Option<String>,
    /// Only those about this problem
    #[arg(long)]
    pub fingerprint: Option<String>,
    /// Only those of storms, or with `false` only the others
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub storm: Option<bool>,
}

impl RequestFilter {
    /// As parameters of a query.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = Vec::new();
        let mut given = |name, value: Option<String>| parameters.extend(value.map(|value| (name, value)));
        given("namespace", self.namespace.clone());
        given("phase", self.phase.clone());
        given("fingerprint", self.fingerprint.clone());
        given("storm", self.storm.map(|storm| storm.to_string()));
        parameters
    }
}

#[derive(Clone, Debug, Args)]
pub struct RequestName {
    /// NAMESPACE/NAME as lists show it, or the name alone with --namespace
    #[arg(value_name = "REQUEST")]
    pub request: String,
    /// Namespace of the request
    #[arg(short, long)]
    pub namespace: Option<String>,
}

impl RequestName {
    /// The namespace and the name.
    pub fn parts(&self) -> anyhow::Result<(&str, &str)> {
        match (self.request.split_once('/'), &self.namespace) {
            (Some((namespace, name)), None) => Ok((namespace, name)),
            (Some((namespace, name)), Some(given)) if namespace == given => Ok((namespace, name)),
            (Some((namespace, _)), Some(given)) => {
                anyhow::bail!("the namespace is either `{namespace}` or `{given}`, not both")
            }
            (None, Some(namespace)) => Ok((namespace, &self.request)),
            (None, None) => {
                let name = &self.request;
                anyhow::bail!("the namespace is missing; write NAMESPACE/{name}, or add --namespace")
            }
        }
    }
}

#[derive(Debug, Args)]
pub struct StormsOptions {
    #[command(subcommand)]
    pub command: Option<StormsCommand>,
    #[command(flatten)]
    pub client: ClientOptions,
}

#[derive(Debug, Subcommand)]
pub enum StormsCommand {
    /// List open and recently ended storms
    List {
        #[command(flatten)]
        client: ClientOptions,
    },
    /// Show one storm and its members
    Get {
        id: String,
        #[command(flatten)]
        client: ClientOptions,
    },
}

#[derive(Debug, Args)]
pub struct ExplainOptions {
    /// The fingerprint of an alert, or NAMESPACE/NAME of a request
    #[arg(value_name = "FINGERPRINT")]
    pub subject: String,
    #[command(flatten)]
    pub client: ClientOptions,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read and validate everything `serve` would, and say what is wrong or surprising
    Check(ServeOptions),
    /// Print what is in effect, and where each value comes from
    Show {
        #[command(flatten)]
        serve: ServeOptions,
        /// How to print
        #[arg(short, long, value_enum, default_value_t = ConfigFormat::Yaml)]
        output: ConfigFormat,
    },
    /// Print the JSON Schema of the configuration file
    Schema,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConfigFormat {
    Yaml,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum AuthCommand {
    /// Make a bearer token, and its hash for the identities file; the token is shown this once and kept nowhere
    Token {
        /// How to print
        #[arg(short, long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lists_are_what_requests_and_storms_do_without_further_words() {
        let cli =
            Cli::try_parse_from(["seawall", "requests", "-n", "prod", "--storm", "-o", "json"]).unwrap();
        let Command::Requests(options) = cli.command else { panic!("not requests") };
        assert!(options.command.is_none());
        let expected = vec![("namespace", "prod".to_owned()), ("storm", "true".to_owned())];
        assert_eq!(options.filter.parameters(), expected);
        assert_eq!(options.client.output, Format::Json);
    }

    #[test]
    fn a_request_is_named_with_its_namespace() {
        let name = |request: &str, namespace: Option<&str>| RequestName {
            request: request.to_owned(),
            namespace: namespace.map(str::to_owned),
        };
        assert_eq!(name("prod/rr-1", None).parts().unwrap(), ("prod", "rr-1"));
        assert_eq!(name("rr-1", Some("prod")).parts().unwrap(), ("prod", "rr-1"));
        assert_eq!(
            name("rr-1", None).parts().unwrap_err().to_string(),
            "the namespace is missing; write NAMESPACE/rr-1, or add --namespace"
        );
        assert_eq!(
            name("a/rr-1", Some("b")).parts().unwrap_err().to_string(),
            "the namespace is either `a` or `b`, not both"
        );
    }
}
