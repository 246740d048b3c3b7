//! Which programs the built-in worker may run for a definition: options of `millrace worker` and `millrace dev`.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::Args;
use millrace_worker::builtin::{ContainerSettings, ProcessLimits, ProcessSettings};

/// Flattened into others, whose name it may not have.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Programs of definitions")]
pub(crate) struct ProgramArguments {
    /// Let definitions run scripts and shell commands on this machine, as this user. Whoever may deploy a workflow may then do here
    /// what this user may do: run the worker as a user, and on a machine, that has nothing to lose
    #[arg(long, env = "MILLRACE_ALLOW_PROCESSES")]
    allow_processes: bool,

    /// Time on processors that each process of a script or command may use
    #[arg(long, default_value = "600", env = "MILLRACE_PROCESS_CPU_SECONDS_MAX", value_name = "SECONDS")]
    process_cpu_seconds_max: NonZeroU64,

    /// Address space that each process of a script or command may use; Node.js reserves about a gigabyte
    #[arg(
        long,
        default_value = "4294967296",
        env = "MILLRACE_PROCESS_MEMORY_BYTES_MAX",
        value_name = "BYTES"
    )]
    process_memory_bytes_max: NonZeroU64,

    /// Largest file that a script or command may write
    #[arg(long, default_value = "268435456", env = "MILLRACE_PROCESS_FILE_BYTES_MAX", value_name = "BYTES")]
    process_file_bytes_max: NonZeroU64,

    /// Processes and threads of this user up to which scripts and commands may start more; the worker's own count, and so do those
    /// of other programs. Has no effect for root
    #[arg(long, default_value = "4096", env = "MILLRACE_PROCESSES_MAX", value_name = "PROCESSES")]
    processes_max: NonZeroU64,

    /// Let definitions run containers, by this command: docker, podman, or the path of what takes the same arguments. Containers have
    /// the network and the limits that the runtime gives them
    #[arg(long, env = "MILLRACE_CONTAINER_RUNTIME", value_name = "COMMAND")]
    container_runtime: Option<String>,

    /// A folder of this machine that containers may be given, with all that is in it; without one they are given none. Can be repeated
    #[arg(
        long,
        env = "MILLRACE_ALLOW_CONTAINER_VOLUMES",
        value_name = "FOLDER",
        value_delimiter = ',',
        requires = "container_runtime"
    )]
    allow_container_volumes: Vec<PathBuf>,
}

impl ProgramArguments {
    pub(crate) fn settings(&self) -> Settings {
        let limits = ProcessLimits {
            cpu_seconds: self.process_cpu_seconds_max.get(),
            memory_bytes: self.process_memory_bytes_max.get(),
            file_bytes: self.process_file_bytes_max.get(),
            processes: self.processes_max.get(),
        };
        Settings {
            processes: ProcessSettings {
                is_allowed: self.allow_processes,
                limits,
                ..ProcessSettings::default()
            },
            containers: ContainerSettings {
                runtime: self.container_runtime.clone(),
                volumes: self.allow_container_volumes.clone(),
            },
        }
    }
}

/// What definitions may run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Scripts and commands.
    pub(crate) processes: ProcessSettings,
    pub(crate) containers: ContainerSettings,
}
