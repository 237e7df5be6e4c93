-- Commands about answers that were given: what they cost, why they came, and that one was wrong.

local client = require('beast.client')
local notice = require('beast.notice')

local M = {}

---@param name string
---@param argument table
---@param tell fun(result: table): string?
local function ask(name, argument, tell)
  client.command(name, argument, {
    on_done = function(problem, result)
      if problem then
        return not notice.cancelled(problem) and notice.fail(problem)
      end
      local words = tell(type(result) == 'table' and result or {})
      if words then
        notice.info(words)
      end
    end,
  })
end

---@param request_id? string
---@return table
local function of(request_id)
  return request_id and { request_id = request_id } or {}
end

--- What today and this month cost.
function M.cost()
  ask('cost', {}, function(result)
    return result.line or vim.inspect(result)
  end)
end

--- Why the last answer came from where it came: its route, and what the cache did. The server shows it.
---@param request_id? string
function M.why(request_id)
  ask('explainLast', of(request_id), function() end)
end

--- Never serve that answer again.
---@param request_id? string nil: the last one.
function M.reject(request_id)
  ask('reject', of(request_id), function()
    return 'rejected: that answer is not served again.'
  end)
end

--- Opens the dashboard in a browser.
function M.dashboard()
  ask('dashboard', {}, function(result)
    return result.url and 'dashboard: ' .. result.url
  end)
end

return M
