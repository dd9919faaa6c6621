-- The action "hallpass URL": asks there whether the request's token is good. If it is, txn.hallpass is "allowed" and
-- the request bears its user; if not, Hallpass's refusal is the answer. The URL's host is an address, not a name.
local IDENTITY = { "x-auth-user", "x-auth-user-id", "x-auth-token-id", "x-auth-scopes" }
-- HAProxy tries up to four times.
local TIMEOUT_MS = 1000

local function first(headers, name)
  return headers and headers[name] and headers[name][0]
end

core.register_action("hallpass", { "http-req" }, function(txn, url)
  local question = { ["x-forwarded-for"] = { txn.sf:src() } }
  local authorization = first(txn.http:req_get_headers(), "authorization")
  if authorization then
    question["authorization"] = { authorization }
  end
  local answer = core.httpclient():get({ url = url, headers = question, timeout = TIMEOUT_MS })
  if answer.status == 200 then
    for _, name in ipairs(IDENTITY) do
      txn.http:req_set_header(name, first(answer.headers, name) or "")
    end
    txn:set_var("txn.hallpass", "allowed")
  elseif answer.status == 401 or answer.status == 403 then
    local refusal = txn:reply({ status = answer.status })
    refusal:add_header("www-authenticate", first(answer.headers, "www-authenticate") or "Bearer")
    txn:done(refusal)
  end
  -- Anything else, or no answer: the next rule denies it.
end, 1)
