//! The kernel's generic netlink protocol against what a kernel said, and its properties.

#[path = "../ipvsadm/director.rs"]
mod director;
#[path = "../ipvsadm/model.rs"]
mod model;
mod proc_files;
mod properties;
mod replay;
