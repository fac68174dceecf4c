// base/gofail.h
//
// Failpoints by the names and in the words of etcd's: what its tests set over HTTP or in the
// environment (the gofail protocol) strikes at the places of base/failpoint.h that do the same
// step.
//
//   GOFAIL_FAILPOINTS='raftBeforeSave=panic;beforeCommit=5.0%sleep("100ms")'
//
//   name=term[->term]…[;name=…]    the first term that applies does
//   term: [count*][per cent%]action[(value)]      5.0%, with a point: 5 is a count
//   panic          the process ends at once with status 2 and "failpoint panic: …" on stderr
//   sleep(ms), sleep("1.5s")        the thread sleeps
//   return("text")  the step fails with this text, where the place can fail by etcd's as well;
//                  elsewhere nothing
//   print, off     a line on stdout; nothing
//
// Nothing is armed, and a failpoint costs what it always does, unless somebody asks.
// Threads: any. Source: etcd-io/gofail, runtime/.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace keelson::gofail {

// Etcd's names that there are here, sorted.
std::vector<std::string> names();

// NotFound: there is no such name. InvalidArgument: the terms do not parse.
absl::Status arm(std::string_view name, std::string_view terms);
// Several at once: "name=terms;name=terms". Names that there are not are passed over.
absl::Status arm_all(std::string_view list);
// NotFound: there is no such name. FailedPrecondition: it is not armed.
absl::Status disarm(std::string_view name);
void disarm_all();

struct Answer {
  int status = 200;  // HTTP's
  std::string body;
};
// A request to the address in GOFAIL_HTTP: PUT /name or /failpoints, GET / or /name or /name/count,
// DELETE /name.
Answer answer(std::string_view method, std::string_view target, std::string_view body);

// While there is one nothing panics: until the answer has left.
class PanicHold {
 public:
  PanicHold();
  ~PanicHold();
  PanicHold(const PanicHold&) = delete;
  PanicHold& operator=(const PanicHold&) = delete;
};

namespace internal {
// Whether any is armed; what strikes at one of our places, and the text with which it is to fail.
bool any_armed();
std::optional<std::string> hit(std::string_view place);
}  // namespace internal

}  // namespace keelson::gofail
