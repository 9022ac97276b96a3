//! Wall clocks that jump, machines that are suspended, and the functions that must not depend on
//! them.

mod deletion;
mod leases;
mod sessions;
mod work;
