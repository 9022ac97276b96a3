//! The conventions of the programs that the benchmark starts: each prints its address, and ends when its standard input
//! ends.

use tokio::io::AsyncReadExt;

/// Printed by each server program when it accepts streams, followed by the address.
pub(crate) const LISTENING: &str = "listening on ";
/// Printed by streamgate for its control listener, followed by the address.
pub(crate) const CONTROL: &str = "control listener on ";

/// Waits until the benchmark closes this program's standard input.
pub(crate) async fn wait_for_end_of_input() {
    let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
}
