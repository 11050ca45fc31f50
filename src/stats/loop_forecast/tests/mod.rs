mod coverage;
mod edges;
mod loops;
