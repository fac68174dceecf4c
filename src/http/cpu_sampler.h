// http/cpu_sampler.h
//
// CpuSampler looks a hundred times in each second of processor time that the process uses where it
// is: a timer's signal (SIGPROF) interrupts the thread that runs, which notes its stack.
//
// Threads: one at a time in the process; start() and stop() from any, not from a lane (stop() makes
//   the profile). Nothing runs, and SIGPROF stays ignored, between them.
// Bounds: 65,536 stacks of at most 64 addresses; what comes after that is not noted.
// Not taken: gperftools, whose library would be loaded by every member, brings an unwinder of its
//   own, and writes a form without names.

#pragma once

#include <memory>

#include "http/stack_profile.h"

namespace keelson::http {

class CpuSampler {
 public:
  // Null: another one runs, or there is no memory.
  static std::unique_ptr<CpuSampler> start();
  ~CpuSampler();
  CpuSampler(const CpuSampler&) = delete;
  CpuSampler& operator=(const CpuSampler&) = delete;

  // Ends it. Once.
  StackProfile stop();

 private:
  CpuSampler();
  static void end();

  const Duration began_;
  bool over_ = false;
};

}  // namespace keelson::http
