//! ipvsadm's language against captures of the original, and its properties.

mod captures;
mod director;
mod large;
mod model;
mod properties;
mod shell;
