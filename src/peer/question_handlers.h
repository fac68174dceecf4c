// peer/question_handlers.h
//
// What a peer listener answers to questions (peer/questions.h): from the hub's members, or from
// what LocalAnswers says.
//
// Threads: the peer loop.

#pragma once

#include <functional>
#include <list>
#include <string>

#include "net/http.h"
#include "peer/raft_handlers.h"

namespace keelson::peer {

class QuestionHandlers {
 public:
  explicit QuestionHandlers(RunningHub hub) : hub_(std::move(hub)) {}
  void serve_on(net::Router& router);

 private:
  using Handle =
      std::function<void(Hub& hub, const net::HttpRequest& request, net::HttpReplyRef reply)>;
  class Question;

  // `method` is the only one allowed.
  net::HttpHandler* add(std::string_view method, Handle handle);

  const RunningHub hub_;
  std::list<std::unique_ptr<net::HttpHandler>> handlers_;
};

}  // namespace keelson::peer
