// tests/compat/script.h
//
// A script: the requests of one compatibility proof, in order. docs in README.md of this directory.
//
//   # what the script claims
//   flags --max-txn-ops=4
//   call KV/Put key:"a" value:"1"
//   let rev = header.revision
//   call[meta:hasleader=true] KV/Range key:"a" revision:${rev-1}
//     differs why the two are not the same       <- the subject must answer what follows
//     subject OutOfRange: etcdserver: mvcc: …
//
// An indented line goes on with the step above it. Text after '#' at a line's start is a comment.

#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace keelson::compat {

struct Step {
  int line = 0;
  std::string verb;
  std::multimap<std::string, std::string> options;  // in […] behind the verb
  std::string rest;
  std::string differs;  // why the subject's answer is another; empty: it is the same
  std::string subject;  // the answer the subject must give then

  std::string option(const std::string& name, const std::string& otherwise = "") const {
    const auto found = options.find(name);
    return found == options.end() ? otherwise : found->second;
  }
};

struct Script {
  std::string path;
  std::vector<std::string> flags;
  std::vector<Step> steps;
};

// InvalidArgument names file and line of what does not parse.
absl::StatusOr<Script> read_script(const std::string& path);

// Replaces ${name}, ${name+1}, ${name-1} by variables, and ${repeat x 100} by a hundred x.
absl::StatusOr<std::string> expand(const std::string& text,
                                   const std::map<std::string, std::string>& variables);

}  // namespace keelson::compat
