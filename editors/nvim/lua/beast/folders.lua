-- Projects that the daemon reads: it is said once that it may be allowed, and nobody is held up by a question.

local client = require('beast.client')
local notice = require('beast.notice')

local M = {}

--- `window/showMessageRequest`: may the folder be read? The question waits for a command, and blocks nothing.
---@param params lsp.ShowMessageRequestParams
---@return any # No answer: nothing is remembered.
function M.asked(params)
  notice.info(params.message .. '\n  :Beast open allows it, :Beast close never asks again.')
  return vim.NIL
end

---@param name string
---@param bufnr integer
local function command(name, bufnr)
  local file = vim.api.nvim_buf_get_name(bufnr)
  local uri = file ~= '' and vim.bo[bufnr].buftype == '' and vim.uri_from_bufnr(bufnr) or nil
  client.command(name, { uri = uri }, {
    bufnr = bufnr,
    quiet = true,
    on_done = function(problem, result)
      if problem then
        return notice.fail(problem)
      end
      local words = { scanning = 'is being read', ready = 'is open', closed = 'is closed', declined = 'is not read' }
      notice.info(('%s %s.'):format(result.path, words[result.state] or result.state))
    end,
  })
end

--- Lets the daemon read the project of a buffer.
---@param bufnr integer
function M.open(bufnr)
  command('openWorkspace', bufnr)
end

--- The project of a buffer is read no more, and not asked about again.
---@param bufnr integer
function M.close(bufnr)
  command('closeWorkspace', bufnr)
end

--- Shows what would go along with a question.
---@param message string
---@param bufnr integer
function M.context(message, bufnr)
  local file = vim.api.nvim_buf_get_name(bufnr)
  local uri = file ~= '' and vim.bo[bufnr].buftype == '' and vim.uri_from_bufnr(bufnr) or nil
  client.command('context', { message = message, uri = uri }, {
    bufnr = bufnr,
    label = 'looks',
    on_done = function(problem, result)
      if problem then
        return notice.fail(problem)
      end
      notice.info(result.line)
    end,
  })
end

--- What an answer was made from, as lines of Markdown.
---@param sources? { path: string, first_line: integer, last_line: integer, symbol?: string }[]
---@return string
function M.listed(sources)
  if not sources or #sources == 0 then
    return ''
  end
  local lines = { '\n\nSources:\n' }
  for _, one in ipairs(sources) do
    local symbol = one.symbol and one.symbol ~= '' and (' `%s`'):format(one.symbol) or ''
    lines[#lines + 1] = ('- %s:%d%s'):format(one.path, one.first_line or 1, symbol)
  end
  return table.concat(lines, '\n')
end

return M
