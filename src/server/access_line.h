// server/access_line.h
//
// What the access log says of a request, and how a line of it looks: an object in JSON, with the
// time first, in one order.
//
// Secrecy: of a request nothing is told but names of users and roles, ids of leases, numbers of
//   operations, and, where keys are wanted, keys. No value, password or token has a way here:
//   fields are taken out by their numbers, one kind of request after the other.
// Bounds: of a text kMostOfText bytes are shown, of a transaction, and those in it, as many
//   operations as about kMostOfKeys bytes hold; the line says how many more there are, where one
//   that is a transaction counts as one.
// Threads: pure functions.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/clock.h"

namespace keelson::server {

inline constexpr size_t kMostOfText = 256;
inline constexpr size_t kMostOfKeys = 2048;

// What is where in a request.
enum class RequestForm : uint8_t {
  kOther,      // nothing that would be told
  kRange,      // key = 1, range_end = 2
  kKey,        // key or name of a lock = 1
  kTxn,        //
  kWatch,      // of a stream
  kLeader,     // LeaderKey = 1, with the election's name = 1
  kLease,      // lease = 1
  kGrant,      // lease = 2
  kName,       // user or role = 1
  kUserRole,   // user = 1, role = 2
  kRoleMay,    // role = 1, Permission = 2, with key = 2, range_end = 3
  kRoleMayNot  // role = 1, key = 2, range_end = 3
};
// By the method's path.
RequestForm request_form(std::string_view method);

// Appends members of an object, each with a comma before it, or nothing: of a malformed request,
// too. `keys`: whether keys, and names of locks and elections, are wanted.
void append_request(std::string& out, RequestForm form, std::string_view request, bool keys);
// The same of the creation of a watcher. False: the message is none, or keys are not wanted.
bool append_watch(std::string& out, std::string_view message, bool keys);

// `,"name":"text"`; bytes that are no UTF-8 as `,"name_base64":…`, and of what is cut its whole
// length as `,"name_bytes":…`.
void append_text(std::string& out, std::string_view name, std::string_view text);

struct AccessLine {
  std::string_view event;  // begin, watch, end; empty: a call that begins and ends with the line
  std::string_view time;   // RFC 3339
  std::string_view remote;
  bool through_gateway = false;
  std::string_view user, common_name;  // empty: nobody is known
  std::string_view method;
  std::string_view request;  // of append_request()
  // Of what has ended.
  bool ended = true;
  uint64_t received = 0, received_bytes = 0, sent = 0, sent_bytes = 0;  // messages, and theirs
  absl::StatusCode code = absl::StatusCode::kOk;
  Duration took{0};
};
// With its line end.
void append_line(std::string& out, const AccessLine& line);
// That `lines` are missing.
void append_dropped(std::string& out, std::string_view time, uint64_t lines);

}  // namespace keelson::server
