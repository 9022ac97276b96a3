//! Wall clocks that jump, machines that are suspended, and what must not depend on either.

mod deletion;
mod leases;
mod sessions;
mod work;
