// http/runtime_metrics.h
//
// Families that etcd shows and that mean something there only: of Go's runtime and library, and of
// parts that Keelson does not have. Dashboards and tests look for them; here they stand at zero,
// but where a process of any kind has a number for it.
//
// Threads: any.

#pragma once

namespace keelson::http {

class Families;
struct Metrics;

// go_*, promhttp_*.
void add_runtime(const Metrics& metrics, Families& out);
// bbolt's commits, files of snapshots, the version 2 store, the proxy.
void add_absent(Families& out);

}  // namespace keelson::http
