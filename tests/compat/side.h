// tests/compat/side.h
//
// Side is one of the two servers a script runs against: the process, the client, the variables and
// streams that the script named, and the mask for what only this server says.
//
// Threads: one caller at a time.
// Errors: what a server answers is an Answer, whatever it is; a script that asks for nonsense gets
// an Answer that is `broken`.

#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/compat/answer.h"
#include "tests/compat/mask.h"
#include "tests/compat/script.h"
#include "tests/harness/schema.h"
#include "tests/harness/server.h"

namespace keelson::compat {

class Side {
 public:
  Side(const std::string& binary, std::vector<std::string> flags);

  // launch() starts the process; start() waits for it. Two sides start side by side that way.
  absl::Status launch() { return server_.launch(); }
  absl::Status start();
  // Takes one step and returns the masked answer.
  Answer take(const Step& step);
  // One unary call outside of a script.
  Answer call(const std::string& method, const google::protobuf::Message& request);
  // SIGTERM or SIGKILL, then a start on the same data.
  absl::Status restart(bool kill);

  // "3.5.30", as Maintenance/Status tells it.
  const std::string& version() const { return version_; }
  harness::Server& server() { return server_; }

 private:
  struct OpenStream {
    harness::Method method;
    std::unique_ptr<harness::Stream> stream;
  };

  absl::Status learn_identity();
  Answer take_unmasked(const Step& step, const std::string& rest);
  Answer unary(const Step& step, const std::string& name, const std::string& request);
  Answer raw(const Step& step, const std::string& name, const std::string& hex);
  Answer poll(const Step& step, const std::string& name, const std::string& request);
  Answer let(const std::string& rest);
  Answer http(const Step& step, const std::string& rest);
  // Of the JSON gateway (gateway.cc).
  Answer post(const Step& step, const std::string& rest);
  Answer restart_step(bool kill);
  Answer streaming(const Step& step, const std::string& name, const std::string& rest);
  Answer open_stream(const Step& step, const std::string& name, const std::string& method);
  Answer send(OpenStream& open, const std::string& request);
  Answer receive(OpenStream& open, int count);
  Answer collect(OpenStream& open, int events);
  Answer progress(OpenStream& open);
  Answer finish(OpenStream& open);
  Answer serve(const harness::Method& method, const std::string& body, const Step& step);
  std::shared_ptr<google::protobuf::Message> next(OpenStream& open, harness::Milliseconds patience);
  Answer masked(Answer answer);

  harness::Server server_;
  Mask mask_;
  std::string version_;
  std::map<std::string, std::string> variables_{{"space", " "}};
  std::map<std::string, OpenStream> streams_;
  Answer last_;  // as it came, for `let`
};

}  // namespace keelson::compat
