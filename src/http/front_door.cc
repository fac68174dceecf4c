#include "http/front_door.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "net/tls/identity.h"

namespace keelson::http {
namespace {

bool has(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

std::string_view without_port(std::string_view host) {
  const size_t bracket = host.rfind(']');
  const size_t colon = host.rfind(':');
  if (colon != std::string_view::npos &&
      (bracket == std::string_view::npos ? host.find(':') == colon : colon == bracket + 1)) {
    host = host.substr(0, colon);
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return host;
}

void refuse(net::HttpReply& reply, int status, std::string_view text) {
  net::HttpResponse response;
  response.status = status;
  response.fields = {{"Content-Type", "text/plain; charset=utf-8"},
                     {"X-Content-Type-Options", "nosniff"}};
  response.body = net::MessageParts::copy(text);
  reply.send(std::move(response));
}

// The host is the client's word.
void warn_of_host(std::string_view host, LineBudget* lines) {
  constexpr size_t kLongestHost = 255, kRest = 150;  // a name's; and what is around it in the line
  const std::string_view told = host.substr(0, kLongestHost);
  if (!take_line(lines, kRest + told.size())) return;
  log::warn("rejecting HTTP request to prevent DNS rebinding attacks", {{"host", told}});
}

}  // namespace

std::vector<net::HttpField> FrontDoor::fields(const net::HttpRequest& request) const {
  std::string origin = "*";
  if (!options_.cors.empty() && !has(options_.cors, "*")) {
    origin = request.field("Origin");
    if (origin.empty() || !has(options_.cors, origin)) return {};
  }
  return {{"Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE"},
          {"Access-Control-Allow-Origin", std::move(origin)},
          {"Access-Control-Allow-Headers", "accept, content-type, authorization"}};
}

bool FrontDoor::host_allowed(const net::HttpRequest& request) const {
  if (options_.hosts.empty() || has(options_.hosts, "*") || request.peer.tls) return true;
  return has(options_.hosts, without_port(request.field("Host")));
}

bool FrontDoor::relies_on_name(const net::HttpRequest& request) const {
  const auto& identity = request.peer.identity;
  if (!identity || identity->common_name.empty()) return false;
  if (!request.path().starts_with("/v3/")) return false;
  return options_.names_are_users && options_.names_are_users();
}

bool FrontDoor::answers(const net::HttpRequest& request, net::HttpReply& reply) const {
  if (!host_allowed(request)) {
    const std::string_view host = without_port(request.field("Host"));
    warn_of_host(host, options_.lines);
    // Misdirected Request, with the reason that etcd gives.
    refuse(reply, 421,
           cat("\nkeelson received your request, but the Host header was unrecognized: add \"",
               host, "\" to --host-whitelist\n"));
    return true;
  }
  if (relies_on_name(request)) {
    refuse(reply, 400,
           "CommonName of client sending a request against gateway will be ignored and not used "
           "as expected\n");
    return true;
  }
  if (request.method != "OPTIONS") return false;
  net::HttpResponse empty;
  empty.fields = fields(request);
  reply.send(std::move(empty));
  return true;
}

void Elsewhere::handle(net::HttpRequest request, net::HttpReplyRef reply) {
  if (door_.answers(request, *reply)) return;
  net::HttpResponse response = router_.http_elsewhere(request);
  for (net::HttpField& field : door_.fields(request)) response.fields.push_back(std::move(field));
  reply->send(std::move(response));
}

}  // namespace keelson::http
