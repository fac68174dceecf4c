// net/call_record.h
//
// Whoever wants to know of each call by itself (an access log) is a CallRecorder: it may make a
// CallRecord for a call, which then hears what becomes of it. Without a recorder a call costs a
// look at a null pointer.
//
// Threads: all of it on the call's loop. Lifetime: the call owns its record, and lets go of it at
//   its end; the recorder outlives the listeners.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bytes.h"

namespace keelson::net {

class ServerCall;
struct CallSummary;

class CallRecord {
 public:
  virtual ~CallRecord() = default;
  // A message of the client, before its handler has it.
  virtual void received(const Bytes& message) = 0;
  // A message to it, which is on its way.
  virtual void sent(size_t bytes) = 0;
  // Last of all.
  virtual void ended(const CallSummary& summary) = 0;
};

class CallRecorder {
 public:
  // How the call came in.
  enum class Door : uint8_t { kGrpc, kGateway };

  virtual ~CallRecorder() = default;
  // When the call counts as begun (CallObserver::call_started). `call` outlives the record. Null:
  // nothing is to be known of it.
  virtual std::unique_ptr<CallRecord> record(const ServerCall& call, Door door) = 0;
};

}  // namespace keelson::net
