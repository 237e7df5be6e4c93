-- How things are told to the person: messages, errors with what to do next, and the one line of a status.

local M = {}

local REPEATED_MS = 2000
local server = { text = '', at_ms = 0 } -- what the server said last

---@param text string
---@param level integer
local function say(text, level)
  vim.schedule(function()
    vim.notify('BEAST: ' .. text, level, { title = 'BEAST MODE' })
  end)
end

---@param text string
function M.info(text)
  say(text, vim.log.levels.INFO)
end

--- `window/showMessage`: what the server says of itself.
---@param params lsp.ShowMessageParams
function M.said(params)
  server = { text = params.message, at_ms = vim.uv.now() }
  local levels = { vim.log.levels.ERROR, vim.log.levels.WARN, vim.log.levels.INFO }
  say((params.message:gsub('^BEAST: ', '')), levels[params.type] or vim.log.levels.INFO)
end

--- A warning; nothing, where the server has just said it.
---@param text string
function M.warn(text)
  local new = vim.uv.now() - server.at_ms > REPEATED_MS
  if new or not server.text:find((text:gsub('^not applied: ', '')), 1, true) then
    say(text, vim.log.levels.WARN)
  end
end

--- An error of the server in words: its sentence, and each tip that the sentence does not hold already.
---@param problem lsp.ResponseError|string
---@return string
function M.words(problem)
  if type(problem) == 'string' then
    return problem
  end
  local lines = { problem.message or 'it failed, and did not say why' }
  local data = type(problem.data) == 'table' and problem.data or {}
  for _, tip in ipairs(type(data.tip) == 'table' and data.tip or {}) do
    if not lines[1]:find(tip, 1, true) then
      lines[#lines + 1] = '  try: ' .. tip
    end
  end
  return table.concat(lines, '\n')
end

---@param problem lsp.ResponseError|string
function M.fail(problem)
  say(M.words(problem), vim.log.levels.ERROR)
end

--- Whether a problem is that the person stopped it.
---@param problem? lsp.ResponseError
---@return boolean
function M.cancelled(problem)
  return problem ~= nil and problem.code == -32800
end

return M
